package org.megabyte4j.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Corpora in a process of their own: one with little memory, one that is killed, one that may not write. */
class CorpusProcessTest {
    private static final int MEGABYTE = 1 << 20;
    private static final int BATCH = 16;
    private static final int LENGTH = 8192;

    @TempDir
    Path folder;

    /** Opens a corpus, reads all of it once, and tells about it; or stops while it is made. */
    public static final class Reader {
        public static void main(String[] arguments) throws InterruptedException {
            Path data = Path.of(arguments[0]);
            long stopAt = Long.parseLong(arguments[2]);
            try (Corpus corpus = Corpus.open(CorpusSource.of(data), Path.of(arguments[1]), Trees.EOS, done -> {
                if (done >= stopAt) {
                    System.out.println("stopped at " + done);
                    sleep();
                }
            })) {
                var blocks = EvaluationWindows.blocks(corpus.all("all"), BATCH, LENGTH, Trees.PAD);
                var crc = new CRC32();
                int[] ids = new int[BATCH * LENGTH];
                ByteBuffer bytes = ByteBuffer.allocate(2 * ids.length).order(ByteOrder.LITTLE_ENDIAN);
                for (long i = 0; i < blocks.batches(); i++) {
                    int count = blocks.fill(i, ids, ids);
                    bytes.clear();
                    for (int k = 0; k < count; k++) {
                        bytes.putShort((short) ids[k]);
                    }
                    crc.update(bytes.flip());
                }
                var windows = new RandomWindows(corpus.all("all"), BATCH, LENGTH, Trees.PAD, 1);
                for (int step = 0; step < 20; step++) {
                    windows.fill(step, ids);
                }
                System.out.println(corpus.length() + " " + crc.getValue() + " " + corpus.fingerprint());
            } catch (DataException e) {
                System.out.println(e.getMessage());
            }
        }

        private static void sleep() {
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
        }
    }

    /** @param before what starts Java, if not itself */
    private Process start(Path log, Path data, Path cache, long stopAt, String... before) throws IOException {
        List<String> command = new ArrayList<>(List.of(before));
        command.addAll(List.of(ProcessHandle.current().info().command().orElseThrow(), "-Xmx32m",
                "-XX:MaxDirectMemorySize=8m", "-cp", System.getProperty("java.class.path"), Reader.class.getName(),
                data.toString(), cache.toString(), Long.toString(stopAt)));
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start();
    }

    private String run(Path data, Path cache, String... before) throws IOException, InterruptedException {
        Path log = folder.resolve("log");
        Process process = start(log, data, cache, Long.MAX_VALUE, before);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        return Files.readString(log).strip();
    }

    /** A file of zeros that takes no room on the disk. */
    private static Path sparse(Path path, long size) throws IOException {
        Files.createDirectories(path.getParent());
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.allocate(1), size - 1);
        }
        return path;
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }

    @Test
    void aCorpusLargerThanTheHeapIsReadInIt() throws IOException, InterruptedException {
        byte[] block = new byte[MEGABYTE];
        for (int i = 0; i < block.length; i++) {
            block[i] = (byte) (i * i >>> 7);
        }
        Path data = Files.createDirectory(folder.resolve("data"));
        var crc = new CRC32();
        byte[] ids = new byte[2 * block.length];
        for (int i = 0; i < block.length; i++) {
            ids[2 * i] = block[i];
        }
        try (OutputStream gzip = new GZIPOutputStream(Files.newOutputStream(data.resolve("a.gz")), 1 << 16)) {
            for (int i = 0; i < 60; i++) {
                gzip.write(block);
                crc.update(ids);
            }
        }
        sparse(data.resolve("b"), 40 * MEGABYTE);
        crc.update(new byte[] {Trees.EOS & 0xFF, Trees.EOS >> 8});
        byte[] zeros = new byte[2 * MEGABYTE];
        for (int i = 0; i < 40; i++) {
            crc.update(zeros);
        }
        Path cache = folder.resolve("cache");
        String made = run(data, cache);
        assertThat(made).startsWith(100L * MEGABYTE + 1 + " " + crc.getValue() + " ");
        assertThat(run(data, cache)).isEqualTo(made);
    }

    @Test
    void aBuildThatIsKilledLeavesNothingThatIsTakenForACorpus() throws IOException, InterruptedException {
        Path data = folder.resolve("data");
        sparse(data.resolve("a"), 65 * MEGABYTE);
        Trees.write(data.resolve("b"), new byte[] {1, 2, 3});
        Path cache = folder.resolve("cache");
        for (long stopAt : new long[] {1, 64 * MEGABYTE}) {
            Path log = folder.resolve("log" + stopAt);
            Process process = start(log, data, cache, stopAt);
            while (process.isAlive() && !Files.readString(log).endsWith("\n")) {
                Thread.sleep(5);
            }
            process.destroyForcibly().waitFor();
            assertThat(Files.readString(log)).startsWith("stopped at ");
        }
        assertThat(files(cache)).hasSize(2).allMatch(file -> file.toString().endsWith(".tmp"));
        try (Corpus corpus = Trees.open(cache, data)) {
            int[] last = new int[5];
            corpus.read(corpus.length() - 5, last, 0, 5);
            assertThat(last).containsExactly(0, Trees.EOS, 1, 2, 3);
            assertThat(corpus.length()).isEqualTo(65L * MEGABYTE + 4);
        }
    }

    /** The system says no in the midst of writing, as it does where a disk or a quota is full. */
    @Test
    void aDiskThatFillsUpWhileACorpusIsMade() throws IOException, InterruptedException {
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "skipped: needs a shell that limits the size of files");
        Path data = folder.resolve("data");
        sparse(data.resolve("a"), 20 * MEGABYTE);
        Trees.write(data.resolve("b"), new byte[] {1, 2, 3});
        Path cache = folder.resolve("cache");
        assertThat(run(data, cache, "/bin/sh", "-c", "ulimit -f 20480; exec \"$0\" \"$@\"")).matches("the corpus file "
                + cache + "/corpus-[0-9a-f]{24}\\.bin cannot be written: File too large; make room or choose another"
                + " cache folder");
        assertThat(cache).isEmptyDirectory();
        assertThat(run(data, cache)).startsWith(20L * MEGABYTE + 4 + " ");
    }
}
