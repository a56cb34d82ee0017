package org.megabyte4j.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.CRC32;
import org.megabyte4j.tensor.DType;

/**
 * An open file of {@code torch.save}, such as {@code pytorch_model.bin}: a memory-mapped zip file of one pickle and the
 * storages that it refers to. Only tensors are read; a file that asks for any other Python code is refused.
 *
 * <p>Dictionaries in dictionaries give names with dots: {@code {"model": {"w": ...}}} holds {@code model.w}. What is no
 * tensor is left out. Usable by several threads.
 */
public final class PyTorchFile implements TensorFile {
    /** Longest pickle that is read: some ten thousand tensors. */
    static final long MAX_PICKLE = 4 << 20;
    private static final byte[] ZIP = {'P', 'K', 3, 4};
    /** Start of the format of PyTorch before 1.6: a pickle of a magic number. */
    private static final byte[] LEGACY = {(byte) 0x80, 2, (byte) 0x8a, 10, 0x6c, (byte) 0xfc, (byte) 0x9c, 0x46};

    private final MappedFile file;
    private final Map<String, StoredTensor> tensors;

    private PyTorchFile(MappedFile file, Map<String, StoredTensor> tensors) {
        this.file = file;
        this.tensors = tensors;
    }

    /** Whether a file is one of {@code torch.save}, by its first bytes or else by its name. */
    static boolean isOne(Path path) {
        byte[] start = new byte[8];
        try (InputStream in = Files.newInputStream(path)) {
            in.readNBytes(start, 0, start.length);
        } catch (IOException e) {
            throw DurableFiles.unreadable(path, e);
        }
        String name = path.getFileName().toString();
        return startsWith(start, ZIP) || startsWith(start, LEGACY)
                || name.endsWith(".bin") || name.endsWith(".pt") || name.endsWith(".pth");
    }

    private static boolean startsWith(byte[] bytes, byte[] start) {
        return Arrays.mismatch(bytes, start) >= start.length || Arrays.equals(bytes, start);
    }

    /** @throws CheckpointException if the file cannot be read, is damaged, or holds more than tensors; says what */
    public static PyTorchFile open(Path path) {
        MappedFile file = MappedFile.open(path);
        try {
            return new PyTorchFile(file, parse(path.toString(), file.bytes()));
        } catch (RuntimeException | Error e) {
            file.close();
            throw e;
        }
    }

    /**
     * @param source the file, for messages
     * @param file   all its bytes
     */
    static Map<String, StoredTensor> parse(String source, MemorySegment file) {
        byte[] start = file.asSlice(0, Math.min(8, file.byteSize())).toArray(ValueLayout.JAVA_BYTE);
        if (startsWith(start, LEGACY)) {
            throw new CheckpointException(source + " has the format of PyTorch before 1.6, which is not read; load it"
                    + " in PyTorch and save it again: torch.save(torch.load(file, weights_only=True), file)");
        }
        if (!startsWith(start, ZIP)) {
            throw new CheckpointException(source + " is no file of torch.save: it is no zip file");
        }
        Map<String, ZipDirectory.Entry> entries = ZipDirectory.read(source, file);
        String pickle = entries.keySet().stream().filter(name -> name.endsWith("/data.pkl")).findFirst()
                .orElseThrow(() -> new CheckpointException(source + " is no file of torch.save: it has no data.pkl"));
        return new Reader(source, pickle.substring(0, pickle.length() - "data.pkl".length()), entries).read();
    }

    /** The tensors that a pickle describes. */
    static Map<String, StoredTensor> tensors(String source, byte[] pickle, Unpickler.Storages storages) {
        return new StateDict(source, new Unpickler(source, pickle, storages)).read(16L * pickle.length);
    }

    @Override
    public Path path() {
        return file.path();
    }

    @Override
    public Map<String, StoredTensor> tensors() {
        return tensors;
    }

    @Override
    public void close() {
        file.close();
    }

    private static final class Reader {
        private final String source;
        private final String folder;
        private final Map<String, ZipDirectory.Entry> entries;
        private final Map<String, Storage> storages = new HashMap<>();

        /** @param folder start of the names of all entries */
        Reader(String source, String folder, Map<String, ZipDirectory.Entry> entries) {
            this.source = source;
            this.folder = folder;
            this.entries = entries;
        }

        Map<String, StoredTensor> read() {
            byte[] order = small("byteorder");
            if (order != null && !new String(order, StandardCharsets.US_ASCII).strip().equals("little")) {
                throw new CheckpointException(source + " was saved on a big-endian machine, which is not read; load"
                        + " it in PyTorch and save it again on another");
            }
            return PyTorchFile.tensors(source, small("data.pkl"), this::storage);
        }

        /** The bytes of an entry that is no storage; null if there is none. */
        private byte[] small(String name) {
            ZipDirectory.Entry entry = entries.get(folder + name);
            if (entry == null) {
                return null;
            }
            if (entry.data().byteSize() > MAX_PICKLE) {
                throw new CheckpointException(source + ": its " + name + " has " + entry.data().byteSize()
                        + " bytes, and tensors alone need no more than " + MAX_PICKLE);
            }
            requireIntact(entry);
            return entry.data().toArray(ValueLayout.JAVA_BYTE);
        }

        private Storage storage(String key, DType dtype, long elements) {
            Storage storage = storages.get(key);
            if (storage == null) {
                ZipDirectory.Entry entry = entries.get(folder + "data/" + key);
                if (entry == null) {
                    throw new CheckpointException(source + " lacks the storage data/" + SafeTensorsHeader.brief(key));
                }
                requireIntact(entry);
                storage = new Storage(dtype, entry.data());
                storages.put(key, storage);
            }
            if (storage.dtype() != dtype || elements < 0 || elements > storage.data().byteSize()
                    || elements * dtype.bytes() != storage.data().byteSize()) {
                throw new CheckpointException(source + ": the storage data/" + SafeTensorsHeader.brief(key) + " has "
                        + storage.data().byteSize() + " bytes of " + storage.dtype() + ", but " + elements
                        + " elements of " + dtype + " are expected");
            }
            return storage;
        }

        /** PyTorch can be told to leave checksums out; they are 0 then. */
        private void requireIntact(ZipDirectory.Entry entry) {
            if (entry.crc32() == 0) {
                return;
            }
            CRC32 crc = new CRC32();
            long size = entry.data().byteSize();
            for (long done = 0; done < size; done += 1 << 30) {
                crc.update(entry.data().asSlice(done, Math.min(1 << 30, size - done)).asByteBuffer());
            }
            if ((int) crc.getValue() != entry.crc32()) {
                throw new CheckpointException(source + " is damaged: the checksum of its entry "
                        + SafeTensorsHeader.brief(entry.name()) + " does not match");
            }
        }
    }
}
