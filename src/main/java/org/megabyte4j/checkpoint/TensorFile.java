package org.megabyte4j.checkpoint;

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;

/** An open file of named tensors. Closing it ends the life of its tensors. */
public interface TensorFile extends AutoCloseable {
    /**
     * Opens a file in the format that its first bytes tell.
     *
     * @throws CheckpointException if it cannot be read or is damaged
     */
    static TensorFile open(Path path) {
        return PyTorchFile.isOne(path) ? PyTorchFile.open(path) : SafeTensorsFile.open(path);
    }

    Path path();

    /** The tensors by name, in the order of the file. */
    Map<String, StoredTensor> tensors();

    /** The names in the order of the file. */
    default Set<String> names() {
        return tensors().keySet();
    }

    default boolean contains(String name) {
        return tensors().containsKey(name);
    }

    /** @throws CheckpointException if there is no such tensor */
    default StoredTensor tensor(String name) {
        StoredTensor tensor = tensors().get(name);
        if (tensor == null) {
            throw new CheckpointException(path() + " has no tensor named " + name);
        }
        return tensor;
    }

    /** All elements of a tensor as float32. */
    default float[] floats(String name) {
        return tensor(name).floats();
    }

    /** All elements of an integer tensor. */
    default int[] ints(String name) {
        return tensor(name).ints();
    }

    @Override
    void close();
}
