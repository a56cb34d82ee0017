package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import org.assertj.core.api.AbstractThrowableAssert;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** What users read when their data cannot be used, word for word; and that nothing is left in the cache. */
class CorpusErrorsTest {
    private static final byte[] TEXT = "some text that is worth reading\n".repeat(100).getBytes(StandardCharsets.UTF_8);

    @TempDir
    Path folder;

    private Path data;
    private Path cache;

    @BeforeEach
    void makeFolders() throws IOException {
        data = Files.createDirectory(folder.resolve("data"));
        cache = folder.resolve("cache");
    }

    private Path write(String name, byte[] bytes) {
        return Trees.write(data.resolve(name), bytes);
    }

    private AbstractThrowableAssert<?, ?> refusal(CorpusSource source, LongConsumer progress,
            CorpusBuilder.Limits limits) {
        var refusal = assertThatThrownBy(() -> Corpus.open(source, cache, Trees.EOS, progress, limits).close())
                .isInstanceOf(DataException.class);
        if (Files.isDirectory(cache)) {
            assertThat(cache).isEmptyDirectory();
        }
        return refusal;
    }

    private void assertRefused(CorpusSource source, String message) {
        refusal(source, done -> { }, CorpusBuilder.Limits.DEFAULT).hasMessage(message);
    }

    private void assertRefused(Path path, String message) {
        assertRefused(CorpusSource.of(path), message);
    }

    @Test
    void noData() {
        assertThatThrownBy(CorpusSource::of).isInstanceOf(DataException.class)
                .hasMessage("no data was named; name a file or a folder");
    }

    @Test
    void aMissingPath() {
        Path missing = data.resolve("missing");
        assertRefused(missing, "there is no file or folder " + missing + "; check the path");
        Path there = write("there", TEXT);
        assertRefused(CorpusSource.of(there, missing), "there is no file or folder " + missing + "; check the path");
        Path below = there.resolve("below");
        assertRefused(below, "there is no file or folder " + below + "; check the path");
    }

    @Test
    void nothingInIt() {
        String message = "the folder " + data + " holds no file with a byte in it; name another one";
        assertRefused(data, message);
        Path empty = write("empty", new byte[0]);
        assertRefused(empty, empty + " is empty; name a file with at least one byte");
        assertRefused(data, message);
        write(".hidden", TEXT);
        write(".git/config", TEXT);
        assertRefused(data, message);
    }

    @Test
    void archivesWithNothingInThem() {
        Path gzip = write("empty.gz", Trees.gzip(new byte[0]));
        assertRefused(gzip, "there is no byte of data in " + gzip + "; name other data");
        Path zip = write("empty.zip", Trees.zip(Map.of("a", new byte[0])));
        assertRefused(zip, "there is no byte of data in " + zip + "; name other data");
        assertRefused(data, "there is no byte of data in the 2 files from " + data + "; name other data");
        Path none = Trees.write(folder.resolve("none.zip"), Trees.zip(Map.of()));
        assertRefused(none, none + " holds no entry; name other data");
        Path hidden = Trees.write(folder.resolve("hidden.zip"),
                Trees.zip(Map.of(".a", TEXT, "b/.c/d", TEXT, "__MACOSX/e", TEXT)));
        assertRefused(hidden, hidden + " holds nothing but folders and hidden files; name other data");
    }

    @Test
    void aGlobThatMatchesNothing() {
        write("a.txt", TEXT);
        write("b/c.txt", TEXT);
        write("b/empty.md", new byte[0]);
        assertRefused(new CorpusSource(List.of(data), List.of("*.md")), "no file with a byte in it in the folder "
                + data + " matches the glob *.md; change the glob, or leave it out");
        assertRefused(new CorpusSource(List.of(data), List.of("*.md", "b/*.m?")), "no file with a byte in it in the"
                + " folder " + data + " matches the glob *.md or b/*.m?; change the glob, or leave it out");
        Path zip = write("a.zip", Trees.zip(Map.of("a.txt", TEXT)));
        assertRefused(new CorpusSource(List.of(zip), List.of("*.md")),
                "no entry of " + zip + " matches the glob *.md; change the glob, or name other data");
        assertRefused(new CorpusSource(List.of(data), List.of("*.md")),
                "there is no byte of data in " + zip + "; name other data, or change the glob");
    }

    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "links need rights there")
    void linksThatLeadNowhereOrInCircles() throws IOException {
        write("text", TEXT);
        Path inner = Files.createDirectories(data.resolve("a/b"));
        Path back = Files.createSymbolicLink(inner.resolve("back"), Path.of("../.."));
        assertRefused(data, "the link " + back + " leads back to a folder that it is in, " + data.toRealPath()
                + "; remove the link, or name the folders beside it one by one");
        Files.delete(back);
        Path nowhere = Files.createSymbolicLink(data.resolve("nowhere"), Path.of("gone"));
        assertRefused(data, "the link " + nowhere + " leads nowhere; remove it, or restore what it led to");
        Files.delete(nowhere);
        Path one = Files.createSymbolicLink(data.resolve("one"), Path.of("two"));
        Files.createSymbolicLink(data.resolve("two"), Path.of("one"));
        refusal(CorpusSource.of(data), done -> { }, CorpusBuilder.Limits.DEFAULT)
                .hasMessageMatching("the link " + one + " cannot be followed: Too many levels of symbolic links.*"
                        + "; remove it");
    }

    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "links need rights there")
    void aFolderThatLinksReachTwiceIsReadOnce() throws IOException {
        write("a/text", TEXT);
        write("z", new byte[] {'z'});
        Files.createSymbolicLink(data.resolve("b"), Path.of("a"));
        try (Corpus corpus = Trees.open(cache, data)) {
            assertThat(Trees.read(corpus)).isEqualTo(Trees.joined(List.of(TEXT, new byte[] {'z'})));
        }
    }

    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "it has no /dev")
    void aPipeOrDeviceIsNeverOpened() throws IOException, InterruptedException {
        String message = " is neither a file nor a folder but a pipe or a device; write what it gives to a file, and"
                + " name that";
        assertRefused(Path.of("/dev/zero"), "/dev/zero" + message);
        write("text", TEXT);
        Path pipe = data.resolve("pipe");
        assumeTrue(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor() == 0, "skipped: no mkfifo here");
        assertRefused(data, pipe + message);
    }

    @Test
    void withoutPermission() throws IOException {
        assumeTrue(Files.getFileStore(folder).supportsFileAttributeView("posix"), "skipped: needs POSIX permissions");
        Path secret = write("secret", TEXT);
        Path vault = Files.createDirectory(data.resolve("vault"));
        Files.setPosixFilePermissions(secret, PosixFilePermissions.fromString("---------"));
        Files.setPosixFilePermissions(vault, PosixFilePermissions.fromString("---------"));
        assumeFalse(Files.isReadable(secret), "skipped: permissions do not apply to root");
        assertRefused(secret, secret + " cannot be read: permission denied; change its permissions, or leave it out");
        assertRefused(data, secret + " cannot be read: permission denied; change its permissions, or leave it out");
        Files.delete(secret);
        assertRefused(data, vault + " cannot be read: permission denied; change its permissions, or leave it out");
        Files.setPosixFilePermissions(vault, PosixFilePermissions.fromString("rwx------"));
        Trees.write(vault.resolve("a"), TEXT);
        Trees.write(vault.resolve("b"), TEXT);
        Files.createDirectory(cache);
        Files.setPosixFilePermissions(cache, PosixFilePermissions.fromString("r-x------"));
        refusal(CorpusSource.of(vault), done -> { }, CorpusBuilder.Limits.DEFAULT).hasMessageMatching("the corpus file "
                + cache + "/corpus-[0-9a-f]{24}\\.bin cannot be written: permission denied; make room or choose another"
                + " cache folder");
    }

    @Test
    void aDamagedArchive() {
        Path gzip = write("a.gz", Arrays.copyOf(Trees.gzip(TEXT), 40));
        assertRefused(gzip, gzip + " is damaged or cut short: its end is missing; fetch it again, or leave it out");
        write("a.gz", TEXT);
        assertRefused(gzip, gzip + " is damaged or cut short: Not in GZIP format; fetch it again, or leave it out");
        Path zstd = write("a.zst", Arrays.copyOf(Trees.zstd(TEXT), 40));
        assertRefused(zstd, zstd + " is damaged or cut short: Truncated source; fetch it again, or leave it out");
        write("a.zst", TEXT);
        assertRefused(zstd, zstd + " is damaged or cut short: Unknown frame descriptor; fetch it again, or leave it"
                + " out");
        byte[] whole = Trees.zip(Map.of("b/c", TEXT));
        Path zip = write("a.zip", Arrays.copyOf(whole, 60));
        assertRefused(zip, zip + " is damaged or cut short: zip END header not found; fetch it again, or leave it out");
        whole[55] ^= 0x20;
        write("a.zip", whole);
        refusal(CorpusSource.of(zip), done -> { }, CorpusBuilder.Limits.DEFAULT).hasMessageMatching("the entry b/c in "
                + zip + " is damaged or cut short: .*; fetch it again, or leave it out");
    }

    @Test
    void whatFollowsAnArchiveIsNotDropped() {
        byte[] sound = Trees.gzip(TEXT);
        byte[] longer = Arrays.copyOf(sound, sound.length + 30);
        Path gzip = write("a.gz", longer);
        assertRefused(gzip, gzip + " is damaged or cut short: it goes on after its end with something that is not gzip;"
                + " fetch it again, or leave it out");
        System.arraycopy(sound, 0, longer, sound.length, 30);
        write("a.gz", longer);
        assertRefused(gzip, gzip + " is damaged or cut short: its end is missing; fetch it again, or leave it out");
    }

    @Test
    void anArchiveInAnArchive() {
        byte[] inner = Trees.zip(Map.of("a", TEXT));
        Path outer = write("outer.zip", Trees.zip(Map.of("inner.zip", inner, "text", TEXT)));
        assertRefused(outer, "the entry inner.zip in " + outer + " is an archive in an archive; unpack " + outer
                + ", or leave the entry out with a glob");
        try (Corpus corpus = Corpus.open(new CorpusSource(List.of(outer), List.of("text")), cache, Trees.EOS,
                done -> { })) {
            assertThat(corpus.length()).isEqualTo(TEXT.length);
        }
    }

    @Test
    void namesOfEntriesCannotControlTheTerminal() {
        Path zip = write("a.zip", Trees.zip(Map.of("\u001b[2J\u009b\n.zip", TEXT)));
        assertRefused(zip, "the entry \uFFFD[2J\uFFFD\uFFFD.zip in " + zip + " is an archive in an archive; unpack "
                + zip + ", or leave the entry out with a glob");
    }

    @Test
    void anArchiveThatGrowsWithoutEnd() {
        Path bomb = write("bomb.gz", Trees.gzip(new byte[3_000_000]));
        refusal(CorpusSource.of(bomb), done -> { }, new CorpusBuilder.Limits(0, 200, 1_000_000)).hasMessageMatching(
                bomb + " grows from 2\\.9 KB to more than 1\\.\\d MB, like an archive that is made to fill a disk; if"
                        + " it is sound, unpack it and name the result");
        Corpus.open(CorpusSource.of(bomb), cache, Trees.EOS, done -> { }, new CorpusBuilder.Limits(0, 2000, 1_000_000))
                .close();
    }

    @Test
    void aFullDisk() throws IOException {
        write("a", TEXT);
        write("b", TEXT);
        long kept = Files.getFileStore(folder).getTotalSpace();
        refusal(CorpusSource.of(data), done -> { }, new CorpusBuilder.Limits(kept, 200, 1 << 30)).hasMessageMatching(
                "the corpus file " + cache + ".corpus-[0-9a-f]{24}\\.bin cannot be written: it has 3\\.2 KB so far, and"
                        + " the disk only \\d+\\.\\d GB left; make room or choose another cache folder");
    }

    @Test
    void aCacheFolderThatIsAFile() throws IOException {
        write("a", TEXT);
        write("b", TEXT);
        Files.write(cache, TEXT);
        String sentence = "the corpus file " + cache + "/corpus-[0-9a-f]{24}\\.bin cannot be written: ";
        refusal(CorpusSource.of(data), done -> { }, CorpusBuilder.Limits.DEFAULT).hasMessageMatching(sentence + cache
                + " is a file, not a folder; make room or choose another cache folder");
        assertThat(cache).hasBinaryContent(TEXT);
    }

    @Test
    void aCacheFolderInTheData() {
        write("a", TEXT);
        write("b", TEXT);
        String message = " lies in a folder of the data, and what is written there would be data too; choose another"
                + " cache folder";
        CorpusSource all = CorpusSource.of(data);
        for (Path inside : List.of(data, data.resolve("c/d"), data.resolve("../data/c"))) {
            assertThatThrownBy(() -> Corpus.open(all, inside, Trees.EOS, done -> { })).isInstanceOf(DataException.class)
                    .hasMessage("the cache folder " + inside + message);
        }
        Corpus.open(all, data.resolve(".cache/c"), Trees.EOS, done -> { }).close();
        Corpus.open(new CorpusSource(List.of(data), List.of("?")), data.resolve("c"), Trees.EOS, done -> { }).close();
    }

    @Test
    void aFileThatVanishesWhileOthersAreRead() {
        write("a", TEXT);
        Path second = write("b", TEXT);
        refusal(CorpusSource.of(data), done -> delete(second), CorpusBuilder.Limits.DEFAULT).hasMessage(second + " is"
                + " gone since the data was listed; start again when nothing changes it");
    }

    @Test
    void dataThatChangesWhileItIsRead() {
        Path first = write("a", TEXT);
        write("b", TEXT);
        for (Path path : List.of(first, data.resolve("c"))) {
            refusal(CorpusSource.of(data), done -> append(path), CorpusBuilder.Limits.DEFAULT).hasMessage("the data in "
                    + data + " changed while it was read; start again when nothing writes to it");
        }
    }

    private static void delete(Path path) {
        try {
            Files.delete(path);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static void append(Path path) {
        try {
            Files.write(path, new byte[] {1}, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "it does not let go of a mapped file's bytes")
    void aFileThatIsCutShortWhileItIsInUse() throws IOException {
        Path file = write("plain", new byte[100_000]);
        try (Corpus corpus = Trees.open(cache, file)) {
            int[] ids = new int[1000];
            corpus.read(90_000, ids, 0, 1000);
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                channel.truncate(5000);
            }
            assertThatThrownBy(() -> corpus.read(90_000, ids, 0, 1000)).isInstanceOf(DataException.class)
                    .hasMessage(file + " was cut short while it was in use; restore it, and start again");
        }
    }
}
