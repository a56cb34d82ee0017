package org.megabyte4j.checkpoint;

import java.nio.file.Path;
import java.util.Map;

/**
 * An open safetensors file: a memory-mapped view, validated before any tensor is handed out. Usable by several threads.
 *
 * @see <a href="https://huggingface.co/docs/safetensors">the format</a>
 */
public final class SafeTensorsFile implements TensorFile {
    private final MappedFile file;
    private final SafeTensorsHeader header;

    private SafeTensorsFile(MappedFile file, SafeTensorsHeader header) {
        this.file = file;
        this.header = header;
    }

    /** @throws CheckpointException if the file cannot be read or is not a valid safetensors file; says what is wrong */
    public static SafeTensorsFile open(Path path) {
        MappedFile file = MappedFile.open(path);
        try {
            return new SafeTensorsFile(file, SafeTensorsHeader.parse(path.toString(), file.bytes()));
        } catch (RuntimeException | Error e) {
            file.close();
            throw e;
        }
    }

    @Override
    public Path path() {
        return file.path();
    }

    @Override
    public Map<String, StoredTensor> tensors() {
        return header.tensors();
    }

    /** The file's own notes, {@code __metadata__}; empty if it has none. */
    public Map<String, String> metadata() {
        return header.metadata();
    }

    @Override
    public void close() {
        file.close();
    }
}
