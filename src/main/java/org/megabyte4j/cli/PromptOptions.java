package org.megabyte4j.cli;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.megabyte4j.MegabyteException;
import picocli.CommandLine.Option;

/** The text that a command continues: given, from a file, or empty. */
final class PromptOptions {
    private static final Path STANDARD_INPUT = Path.of("-");
    /** A prompt is held in memory several times over. */
    private static final int LONGEST = 1 << 28;

    @Option(names = {"-p", "--prompt"}, paramLabel = "TEXT", description = "The text to continue; default is none.")
    private String text;

    @Option(names = "--prompt-file", paramLabel = "FILE",
            description = "A file of any bytes to continue; - for standard input.")
    private Path file;

    /** @throws MegabyteException if the file cannot be read or is too large */
    byte[] read() {
        if (file == null) {
            return text == null ? new byte[0] : text.getBytes(StandardCharsets.UTF_8);
        }
        try (InputStream in = file.equals(STANDARD_INPUT) ? System.in : Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(LONGEST + 1);
            if (bytes.length > LONGEST) {
                throw new MegabyteException("the prompt file " + file + " has more than " + LONGEST
                        + " bytes; use a shorter prompt");
            }
            return bytes;
        } catch (NoSuchFileException e) {
            throw new MegabyteException("there is no prompt file " + file, e);
        } catch (IOException e) {
            String reason = Files.isDirectory(file) ? "it is a folder" : e.getMessage();
            throw new MegabyteException("the prompt file " + file + " cannot be read: " + reason, e);
        }
    }
}
