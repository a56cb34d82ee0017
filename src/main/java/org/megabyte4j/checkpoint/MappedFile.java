package org.megabyte4j.checkpoint;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A whole file in memory, read-only, shared by all threads, until it is closed. */
record MappedFile(Path path, Arena arena, MemorySegment bytes) implements AutoCloseable {
    static MappedFile open(Path path) {
        if (Files.isDirectory(path)) {
            throw new CheckpointException(path + " is a folder where a file is expected");
        }
        Arena arena = Arena.ofShared();
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return new MappedFile(path, arena, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena));
        } catch (IOException e) {
            arena.close();
            throw DurableFiles.unreadable(path, e);
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
