package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class StandardStreamTest {
    private final StringWriter err = new StringWriter();

    private int statusAfter(String reason) {
        StandardStream stream = new StandardStream(new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException(reason);
            }
        });
        PrintWriter writer = stream.writer();
        writer.println("lost");
        assertThat(writer.checkError()).isTrue();
        return stream.finish(0, new PrintWriter(err, true));
    }

    @Test
    void textIsUtf8AndShownLineByLine() {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        StandardStream stream = new StandardStream(bytes);
        PrintWriter writer = stream.writer();
        writer.println("Grüße");
        assertThat(bytes.toString(StandardCharsets.UTF_8)).isEqualTo("Grüße" + System.lineSeparator());
        assertThat(stream.finish(1, new PrintWriter(err, true))).isEqualTo(1);
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void aReaderThatHasGoneAwayIsNoNews() {
        assertThat(statusAfter("Broken pipe")).isEqualTo(141);
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void aFullDiskIsAFailure() {
        assertThat(statusAfter("No space left on device")).isEqualTo(1);
        assertThat(err.toString().strip())
                .isEqualTo("megabyte4j: standard output cannot be written: No space left on device");
    }
}
