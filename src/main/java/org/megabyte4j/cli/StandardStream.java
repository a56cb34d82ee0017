package org.megabyte4j.cli;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.OutputStreamWriter;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;

/**
 * Standard output or error as UTF-8, whatever the locale, which remembers why it could not be written. A writer says
 * with {@link PrintWriter#checkError} that nobody reads any more.
 */
final class StandardStream extends FilterOutputStream {
    /** What a shell reports for a program that ended with SIGPIPE. */
    private static final int BROKEN_PIPE = 141;

    private IOException failure;

    StandardStream(OutputStream out) {
        super(out);
    }

    static StandardStream output() {
        return new StandardStream(new FileOutputStream(FileDescriptor.out));
    }

    static StandardStream error() {
        return new StandardStream(new FileOutputStream(FileDescriptor.err));
    }

    /** Flushed by {@code println} and {@code printf}. */
    PrintWriter writer() {
        return new PrintWriter(new OutputStreamWriter(new BufferedOutputStream(this), StandardCharsets.UTF_8), true);
    }

    @Override
    public void write(int b) throws IOException {
        write(new byte[] {(byte) b}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int from, int count) throws IOException {
        try {
            out.write(bytes, from, count);
        } catch (IOException e) {
            failure = e;
            throw e;
        }
    }

    /**
     * The exit code when all is written: a reader that has gone away is none of the user's business, a full disk is.
     *
     * @param status the command's own exit code
     */
    int finish(int status, PrintWriter err) {
        if (failure == null) {
            return status;
        }
        String reason = failure.getMessage();
        if (reason.contains("Broken pipe") || reason.contains("pipe is being closed")) {
            return BROKEN_PIPE;
        }
        err.println("megabyte4j: standard output cannot be written: " + reason);
        return Failures.FAILURE;
    }
}
