package org.megabyte4j.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import com.sun.management.ThreadMXBean;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.model.Variant;
import org.megabyte4j.tensor.DType;

/**
 * Damaged and hostile files end in a sentence, in bounded time, and allocate no more than a small multiple of their
 * size. What is accepted can be read to its last element.
 */
class FuzzTest {
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    /** Bytes on the heap for each byte of a file: a record, its name and its place in a map. */
    private static final long FACTOR = 48;
    /** Bytes that any call may take: buffers of the JSON parser, and the exception with its message. */
    private static final long CONSTANT = 200_000;
    private static final long LONGEST_NANOS = 2_000_000_000;

    private int accepted;
    private int refused;

    private interface Target {
        void read(byte[] bytes);
    }

    private void run(String hint, byte[] bytes, Target target) {
        if (!runs(hint, bytes, target, false)) {
            // The first of its kind may have loaded classes.
            runs(hint, bytes, target, true);
        }
    }

    /**
     * Runs one input.
     *
     * @param hint makes it findable
     * @return false if it took too much, and is not the {@code last} attempt
     */
    private boolean runs(String hint, byte[] bytes, Target target, boolean last) {
        int acceptedBefore = accepted;
        int refusedBefore = refused;
        long allocated = THREADS.getCurrentThreadAllocatedBytes();
        long start = System.nanoTime();
        try {
            target.read(bytes);
            accepted++;
        } catch (MegabyteException e) {
            refused++;
            if (e.getMessage().length() > 2000 || e.getMessage().indexOf('\n') >= 0) {
                fail(hint + ": no sentence, but " + e.getMessage());
            }
        } catch (RuntimeException | Error e) {
            fail(hint + ": " + e + " for " + HexFormat.of().formatHex(bytes, 0, Math.min(500, bytes.length)), e);
        }
        long nanos = System.nanoTime() - start;
        allocated = THREADS.getCurrentThreadAllocatedBytes() - allocated;
        boolean tooMuch = nanos > LONGEST_NANOS || allocated > CONSTANT + FACTOR * bytes.length;
        if (tooMuch && last) {
            fail(hint + ": took " + nanos / 1_000_000 + " ms and " + allocated + " bytes for " + bytes.length);
        }
        if (tooMuch) {
            accepted = acceptedBefore;
            refused = refusedBefore;
        }
        return !tooMuch;
    }

    private void fuzz(String what, List<byte[]> seeds, int count, Target target) {
        for (byte[] seed : seeds) {
            target.read(seed);
        }
        for (int i = 0; i < count; i++) {
            var mutator = new Mutator(i);
            run(what + " " + i, mutator.mutate(seeds.get(mutator.next(seeds.size()))), target);
        }
        assertThat(accepted + refused).isEqualTo(count);
        assertThat(refused).as("refused of " + count).isGreaterThan(count / 10);
        assertThat(accepted).as("accepted of " + count + ", so that not all are stopped at the first check")
                .isGreaterThan(count / 200);
    }

    private static byte[] fixture(String name) {
        try {
            return Files.readAllBytes(PyTorchFileTest.fixture(name));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void readAll(Map<String, StoredTensor> tensors) {
        for (StoredTensor tensor : tensors.values()) {
            // In the file's own type, so that what is read is no more than the file is long.
            byte[] bytes = new byte[Math.toIntExact(tensor.bytes())];
            tensor.read(0, tensor.elements(), MemorySegment.ofArray(bytes));
        }
    }

    @Test
    void safetensors() {
        List<byte[]> seeds = List.of(fixture("dtypes.safetensors"), fixture("nested.safetensors"),
                fixture("without-checksums.safetensors"),
                safetensors("{\"__metadata__\":{\"format\":\"pt\"},"
                        + "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16));
        fuzz("safetensors", seeds, 45_000,
                bytes -> readAll(SafeTensorsHeader.parse("fuzz", MemorySegment.ofArray(bytes)).tensors()));
    }

    private static byte[] safetensors(String header, int data) {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        return ByteBuffer.allocate(8 + text.length + data).order(ByteOrder.LITTLE_ENDIAN).putLong(text.length).put(text)
                .array();
    }

    @Test
    void zipFiles() {
        fuzz("zip", List.of(fixture("without-checksums.bin"), fixture("parameters.bin"), fixture("written.bin")),
                20_000, bytes -> readAll(PyTorchFile.parse("fuzz", MemorySegment.ofArray(bytes))));
    }

    @Test
    void pickles() {
        List<byte[]> seeds = List.of(pickle("dtypes.bin"), pickle("views.bin"), pickle("nested.bin"),
                pickle("parameters.bin"), pickle("written.bin"));
        MemorySegment elements = MemorySegment.ofArray(new byte[480]);
        fuzz("pickle", seeds, 25_000, bytes -> readAll(PyTorchFile.tensors("fuzz", bytes, (key, dtype, count) -> {
            if (count < 0 || count > 480 / dtype.bytes()) {
                throw new CheckpointException("no such storage");
            }
            return new Storage(dtype, elements.asSlice(0, count * dtype.bytes()));
        })));
    }

    private static byte[] pickle(String name) {
        var zip = ZipDirectory.read(name, MemorySegment.ofArray(fixture(name)));
        return zip.values().stream().filter(entry -> entry.name().endsWith("/data.pkl")).findFirst().orElseThrow()
                .data().toArray(ValueLayout.JAVA_BYTE);
    }

    @Test
    void configurations() {
        byte[] wrapped = fixture("wrapper/config.json");
        byte[] own = new String(wrapped, StandardCharsets.UTF_8).replace("eos_token_id", "eos_id")
                .replaceAll("\"architectures\": [^]]*],", "")
                .replaceAll("\"(bos_token_id|model_type|torch_dtype|transformers_version)\".*\n", "")
                .replace("\"pad_id\": 10,", "\"pad_id\": 10, \"variant\": \"megabyte\"")
                .getBytes(StandardCharsets.UTF_8);
        var keyValue = new StoredTensor("kv", "fuzz", DType.F32, new long[] {8, 8},
                MemorySegment.ofArray(new float[64]), 0, null);
        fuzz("configuration", List.of(wrapped, own), 15_000, bytes -> StoredConfig
                .parse(bytes, Path.of("fuzz"), Variant.MEGABYTE).resolve(LocalHeads.AUTO, keyValue, notice -> { }));
    }

    private static String deep(String open, int times, String close) {
        return open.repeat(times) + close.repeat(times);
    }

    @Test
    void hostileHeaders() {
        List<String> headers = List.of(
                deep("{\"a\":", 100_000, "}"),
                "{\"a\":{\"dtype\":\"F32\",\"shape\":" + deep("[", 100_000, "]") + "}}",
                "{\"" + "a".repeat(1_000_000) + "\":{\"dtype\":\"F32\"}}",
                "{\"a\":{\"dtype\":\"" + "F".repeat(1_000_000) + "\"}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[" + "1,".repeat(500_000) + "1],\"data_offsets\":[0,8]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[" + "9".repeat(1_000_000) + "],\"data_offsets\":[0,8]}}",
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,0],\"data_offsets\":[0,0]}}",
                "{\"__metadata__\":{" + "\"\":\"\",".repeat(100_000) + "}}",
                "{" + " ".repeat(1_000_000) + "}");
        for (String header : headers) {
            run(header.substring(0, Math.min(60, header.length())), safetensors(header, 8), bytes ->
                    readAll(SafeTensorsHeader.parse("hostile", MemorySegment.ofArray(bytes)).tensors()));
        }
        assertThat(refused).isEqualTo(headers.size());
    }

    /** Opcodes as bytes of ISO-8859-1 text. */
    private static byte[] opcodes(String... parts) {
        return ("\u0080\u0002" + String.join("", parts)).getBytes(StandardCharsets.ISO_8859_1);
    }

    private static String text(String value) {
        return "X" + number4(value.length()) + value;
    }

    private static String number4(int value) {
        return "" + (char) (value & 0xFF) + (char) (value >> 8 & 0xFF) + (char) (value >> 16 & 0xFF)
                + (char) (value >>> 24);
    }

    @Test
    void hostilePickles() {
        StringBuilder laughs = new StringBuilder("}q\u0000");      // each dictionary holds the one before ten times
        for (int i = 1; i < 30; i++) {
            laughs.append("}q").append((char) i).append('(');
            for (int k = 0; k < 10; k++) {
                laughs.append('K').append((char) k).append('h').append((char) (i - 1));
            }
            laughs.append('u');
        }
        String pairs = "]q\u0000(" + "K\u0001K\u0002\u0086".repeat(10_000) + "e\u0085q\u0001";
        Map<String, byte[]> pickles = Map.of(
                "billion laughs", opcodes(laughs.toString(), "."),
                "dictionary in itself", opcodes("}q\u0000K\u0001h\u0000s."),
                "deep", opcodes("}" + "}q\u0000K\u0001".repeat(5000) + "}" + "s".repeat(5000) + "."),
                "long keys", opcodes("}q\u0001(" + text("k".repeat(20_000)), "}q\u0000(",
                        "K\u0001K\u0001".repeat(10_000), "u", "u", "(", "K\u0001h\u0001".repeat(5000), "u."),
                "one list, many dictionaries", opcodes("ccollections\nOrderedDict\nq\u0002", pairs,
                        "h\u0002h\u0001R".repeat(10_000), "."),
                "large memo index", opcodes("}r" + number4(Integer.MAX_VALUE), "."),
                "many marks", opcodes("(".repeat(100_000), "."),
                "many dictionaries", opcodes("}".repeat(100_000), "."),
                "many lists, memoized", opcodes("]\u0094".repeat(100_000), "."),
                "long text that is not there", opcodes("X" + number4(Integer.MAX_VALUE)));
        pickles.forEach((name, pickle) -> run(name, pickle, bytes -> readAll(PyTorchFile.tensors("hostile", bytes,
                (key, dtype, count) -> new Storage(dtype, MemorySegment.ofArray(new byte[0]))))));
        assertThat(accepted).as("many dictionaries, of which the last is empty").isOne();
    }

    @Test
    void aZipFileWhoseEntriesShareBytesIsRefused() throws IOException {
        var bytes = new ByteArrayOutputStream();
        try (var zip = new ZipOutputStream(bytes)) {
            zip.setMethod(ZipOutputStream.STORED);
            for (String name : List.of("x/data.pkl", "x/data/0")) {
                ZipEntry entry = new ZipEntry(name);
                entry.setSize(3);
                CRC32 crc = new CRC32();
                crc.update(new byte[3]);
                entry.setCrc(crc.getValue());
                zip.putNextEntry(entry);
                zip.write(new byte[3]);
            }
        }
        byte[] file = bytes.toByteArray();
        int second = new String(file, StandardCharsets.ISO_8859_1).lastIndexOf("PK\u0001\u0002");
        ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).putInt(second + 42, 0);
        run("overlap", file, b -> {
            try {
                PyTorchFile.parse("hostile", MemorySegment.ofArray(b));
            } catch (CheckpointException e) {
                assertThat(e).hasMessage("hostile is a damaged zip file: its entries x/data.pkl and x/data/0 overlap");
                throw e;
            }
        });
        assertThat(refused).isOne();
    }
}
