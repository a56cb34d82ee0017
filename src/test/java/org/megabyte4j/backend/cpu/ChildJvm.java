package org.megabyte4j.backend.cpu;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * A program's run in a Java of its own.
 *
 * @param output what it printed, line by line
 * @param errors what it said on standard error
 */
public record ChildJvm(int exit, List<String> output, String errors) {
    private static final String CLASS_PATH = System.getProperty("surefire.test.class.path",
            System.getProperty("java.class.path"));

    /** @param onClassPath which elements of this process's class path the child gets */
    public static ChildJvm run(List<String> options, Predicate<String> onClassPath, Class<?> program, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java")
                .toString(), "-Xmx256m", "--enable-native-access=ALL-UNNAMED"));
        command.addAll(options);
        command.addAll(List.of("-cp", Arrays.stream(CLASS_PATH.split(File.pathSeparator)).filter(onClassPath)
                .collect(Collectors.joining(File.pathSeparator)), program.getName()));
        command.addAll(List.of(arguments));
        Path output = Files.createTempFile("child", ".out");
        Path errors = Files.createTempFile("child", ".err");
        try {
            Process process = new ProcessBuilder(command).redirectOutput(output.toFile())
                    .redirectError(errors.toFile()).start();
            if (!process.waitFor(120, TimeUnit.SECONDS)) {
                process.destroyForcibly().waitFor();
            }
            return new ChildJvm(process.exitValue(), Files.readAllLines(output), Files.readString(errors));
        } finally {
            Files.delete(output);
            Files.delete(errors);
        }
    }
}
