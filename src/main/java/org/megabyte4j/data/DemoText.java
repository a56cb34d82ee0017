package org.megabyte4j.data;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import java.util.zip.ZipFile;

/**
 * Real text that is on the machine already: the sources of a JDK's packages {@code java.*}.
 *
 * @param source      what to read
 * @param description what that is, in a line
 */
public record DemoText(CorpusSource source, String description) {
    private static final List<String> JDK_SOURCES = List.of("java.base/java/**/*.java");

    /**
     * Finds it: in the running JDK, then in the one of JAVA_HOME, then in any at the usual places.
     *
     * @param otherwise a folder of Java sources, taken where no JDK has its sources
     */
    public static DemoText find(Path otherwise) {
        return find(jdks(), otherwise);
    }

    static DemoText find(Stream<Path> jdks, Path otherwise) {
        return jdks.map(jdk -> jdk.resolve("lib").resolve("src.zip")).filter(DemoText::hasSources).findFirst()
                .map(zip -> new DemoText(new CorpusSource(List.of(zip), JDK_SOURCES),
                        "the Java library's own sources, java.* of " + zip))
                .orElseGet(() -> new DemoText(new CorpusSource(List.of(otherwise), List.of("**/*.java")),
                        "the Java sources in " + otherwise + ", as no JDK here has its src.zip"));
    }

    private static boolean hasSources(Path zip) {
        if (!Files.isReadable(zip)) {
            return false;
        }
        try (ZipFile file = new ZipFile(zip.toFile())) {
            return file.getEntry("java.base/java/lang/String.java") != null;
        } catch (IOException e) {
            return false;
        }
    }

    private static Stream<Path> jdks() {
        Path home = Path.of(System.getProperty("user.home"));
        Stream<Path> own = Stream.of(System.getProperty("java.home"), System.getenv("JAVA_HOME"))
                .filter(Objects::nonNull).map(Path::of);
        Stream<Path> usual = Stream.of(Path.of("/usr/lib/jvm"), Path.of("/usr/java"), Path.of("/opt"),
                home.resolve(".sdkman/candidates/java"), home.resolve(".jdks"), Path.of("C:/Program Files/Java"),
                Path.of("C:/Program Files/Eclipse Adoptium")).flatMap(DemoText::children);
        Stream<Path> macOs = children(Path.of("/Library/Java/JavaVirtualMachines"))
                .map(jdk -> jdk.resolve("Contents").resolve("Home"));
        return Stream.of(own, usual, macOs).flatMap(found -> found);
    }

    private static Stream<Path> children(Path folder) {
        List<Path> children = new ArrayList<>();
        if (Files.isDirectory(folder)) {
            try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder)) {
                entries.forEach(children::add);
            } catch (IOException | DirectoryIteratorException e) {
                return Stream.empty();
            }
        }
        return children.stream().sorted();
    }
}
