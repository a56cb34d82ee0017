package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.CRC32C;

/** What belongs to a checkpoint, with the size and the CRC-32C of each file: {@code manifest.json}. */
final class Manifest {
    private static final String NAME = "manifest.json";
    private static final List<String> FILES =
            List.of(Checkpoint.CONFIG, Checkpoint.MODEL, Checkpoint.OPTIMIZER, Checkpoint.TRAINER);

    private final Path folder;
    private final ObjectNode tree;

    private Manifest(Path folder, ObjectNode tree) {
        this.folder = folder;
        this.tree = tree;
    }

    /** A manifest to be filled by writing the files. */
    static Manifest of(Path folder, long step) {
        ObjectNode tree = JsonNodeFactory.instance.objectNode();
        tree.put("step", step).putObject("files");
        return new Manifest(folder, tree);
    }

    /** @throws CheckpointException if there is none or it is not one */
    static Manifest read(Path folder) {
        if (Json.read(folder.resolve(NAME)) instanceof ObjectNode tree && tree.get("files") instanceof ObjectNode) {
            return new Manifest(folder, tree);
        }
        throw new CheckpointException(folder.resolve(NAME) + " is not the manifest of a checkpoint");
    }

    /** Writes a file of the checkpoint. */
    void write(String name, DurableFiles.Content content) throws IOException {
        DurableFiles.Written written = DurableFiles.writeForced(folder.resolve(name), content);
        ObjectNode entry = ((ObjectNode) tree.get("files")).putObject(name);
        entry.put("bytes", written.bytes()).put("crc32c", hex(written.crc32c()));
    }

    /** Writes the manifest, the last of the files. */
    void write() throws IOException {
        DurableFiles.writeForced(folder.resolve(NAME), DurableFiles.content(Json.write(tree)));
    }

    private static String hex(long crc32c) {
        return HexFormat.of().toHexDigits((int) crc32c);
    }

    /**
     * Reads all files and compares.
     *
     * @throws CheckpointException that names the first file that is missing or damaged
     */
    void verify(long step) {
        if (tree.path("step").asLong(-1) != step) {
            throw new CheckpointException(folder.resolve(NAME) + " is of step " + tree.path("step") + ", not " + step);
        }
        for (String name : FILES) {
            if (!tree.path("files").has(name)) {
                throw new CheckpointException(folder.resolve(NAME) + " does not list " + name);
            }
            verify(folder.resolve(name), tree.path("files").path(name));
        }
    }

    private static void verify(Path file, JsonNode expected) {
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(file + " is missing");
        }
        CRC32C crc = new CRC32C();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ); Arena arena = Arena.ofConfined()) {
            if (channel.size() != expected.path("bytes").asLong(-1)) {
                throw new CheckpointException(file + " has " + channel.size() + " bytes instead of "
                        + expected.path("bytes"));
            }
            ByteBuffer chunk = arena.allocate(1 << 20).asByteBuffer();
            while (channel.read(chunk.clear()) >= 0) {
                crc.update(chunk.flip());
            }
        } catch (IOException e) {
            throw DurableFiles.unreadable(file, e);
        }
        if (!hex(crc.getValue()).equals(expected.path("crc32c").asText())) {
            throw new CheckpointException(file + " has the checksum " + hex(crc.getValue()) + " instead of "
                    + expected.path("crc32c").asText());
        }
    }
}
