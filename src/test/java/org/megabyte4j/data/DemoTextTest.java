package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoTextTest {
    @TempDir
    Path folder;

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private Path jdk(String name, Map<String, byte[]> sources) {
        Path jdk = folder.resolve(name);
        Trees.write(jdk.resolve("lib/src.zip"), Trees.zip(sources));
        return jdk;
    }

    private String text(DemoText demo) {
        try (Corpus corpus = Corpus.open(demo.source(), folder.resolve("cache"), '|', done -> { })) {
            return ByteTokenizer.REFERENCE.decode(Trees.read(corpus));
        }
    }

    @Test
    void theFirstJdkWithSourcesGivesThoseOfItsOwnPackages() {
        Path without = folder.resolve("without");
        Path broken = folder.resolve("broken");
        Trees.write(broken.resolve("lib/src.zip"), bytes("no zip file"));
        Path other = jdk("other", Map.of("com/example/Main.java", bytes("of something else")));
        Path good = jdk("good", new TreeMap<>(Map.of("java.base/java/lang/String.java", bytes("string"),
                "java.base/java/util/List.java", bytes("list"), "java.base/java/Top.java", bytes("top"),
                "java.base/java/lang/package.html", bytes("html"), "java.base/sun/misc/Unsafe.java", bytes("unsafe"),
                "java.desktop/java/awt/Frame.java", bytes("frame"), "java.base/javax/crypto/Mac.java", bytes("mac"))));
        Path later = jdk("later", Map.of("java.base/java/lang/String.java", bytes("another string")));
        DemoText demo = DemoText.find(Stream.of(without, broken, other, good, later), folder);
        assertThat(text(demo)).isEqualTo("top|string|list");
        assertThat(demo.description())
                .isEqualTo("the Java library's own sources, java.* of " + good.resolve("lib/src.zip"));
    }

    @Test
    void withoutAnyTheGivenFolderIsTaken() {
        Path own = folder.resolve("own");
        Trees.write(own.resolve("a/Main.java"), bytes("main"));
        Trees.write(own.resolve("Top.java"), bytes("top"));
        Trees.write(own.resolve("notes.txt"), bytes("notes"));
        DemoText demo = DemoText.find(Stream.of(folder.resolve("none")), own);
        assertThat(text(demo)).isEqualTo("top|main");
        assertThat(demo.description()).isEqualTo("the Java sources in " + own + ", as no JDK here has its src.zip");
        DemoText nothing = DemoText.find(Stream.empty(), folder.resolve("missing"));
        assertThatThrownBy(() -> text(nothing)).isInstanceOf(DataException.class)
                .hasMessage("there is no file or folder " + folder.resolve("missing") + "; check the path");
    }

    @Test
    void aJdkOnThisMachineGivesMegabytesOfJava() {
        DemoText demo = DemoText.find(folder);
        Path zip = demo.source().paths().getFirst();
        assumeTrue(Files.isRegularFile(zip), "skipped: no JDK here has its src.zip");
        try (Corpus corpus = Corpus.open(demo.source(), folder.resolve("cache"), Trees.EOS, done -> { })) {
            assertThat(corpus.documents()).isGreaterThan(1000);
            assertThat(corpus.length()).isGreaterThan(20_000_000);
            int[] ids = new int[1_000_000];
            corpus.read(0, ids, 0, ids.length);
            assertThat(ByteTokenizer.REFERENCE.decode(ids)).contains("package java.io;", "public class")
                    .doesNotContain("\uFFFD");
        }
    }
}
