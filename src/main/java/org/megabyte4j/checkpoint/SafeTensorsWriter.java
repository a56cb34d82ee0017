package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Writes safetensors files. The same tensors give the same bytes: they are ordered by element size (wide ones first, so
 * that all are aligned) and then by name, as the format's own library does, and the header is padded to 8 bytes.
 */
public final class SafeTensorsWriter {
    /** Bytes fetched from a source at a time. */
    private static final int CHUNK = 4 << 20;

    private final List<TensorSource> tensors;
    private final byte[] header;

    /**
     * @param metadata the file's notes, {@code __metadata__}; left out if empty
     * @throws IllegalArgumentException if two tensors have one name
     */
    public SafeTensorsWriter(List<TensorSource> tensors, Map<String, String> metadata) {
        this.tensors = tensors.stream()
                .sorted(Comparator.comparingInt((TensorSource tensor) -> -tensor.dtype().bytes())
                        .thenComparing(TensorSource::name))
                .toList();
        this.header = header(this.tensors, metadata);
    }

    private static byte[] header(List<TensorSource> tensors, Map<String, String> metadata) {
        var text = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(SafeTensorsHeader.METADATA);
                for (var note : new TreeMap<>(metadata).entrySet()) {
                    json.writeStringField(note.getKey(), note.getValue());
                }
                json.writeEndObject();
            }
            Set<String> names = new HashSet<>();
            long begin = 0;
            for (TensorSource tensor : tensors) {
                if (!names.add(tensor.name()) || tensor.name().equals(SafeTensorsHeader.METADATA)) {
                    throw new IllegalArgumentException("two tensors are named " + tensor.name());
                }
                long end = Math.addExact(begin, tensor.bytes());
                json.writeObjectFieldStart(tensor.name());
                json.writeStringField("dtype", tensor.dtype().name());
                json.writeFieldName("shape");
                json.writeArray(tensor.shape(), 0, tensor.shape().length);
                json.writeFieldName("data_offsets");
                json.writeArray(new long[] {begin, end}, 0, 2);
                json.writeEndObject();
                begin = end;
            }
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory", e);
        }
        byte[] bytes = text.toByteArray();
        byte[] padded = Arrays.copyOf(bytes, (bytes.length + 7) / 8 * 8);
        Arrays.fill(padded, bytes.length, padded.length, (byte) ' ');
        if (padded.length > SafeTensorsHeader.MAX_BYTES) {
            throw new CheckpointException("the names of " + tensors.size() + " tensors do not fit the "
                    + SafeTensorsHeader.MAX_BYTES + " bytes that a safetensors header may have");
        }
        return padded;
    }

    /**
     * Makes sure that a file can be written, without writing it.
     *
     * @throws CheckpointException if it cannot; says why
     */
    public static void requireWritable(Path path) {
        DurableFiles.requireWritable(path);
    }

    /** Bytes of the whole file. */
    public long bytes() {
        return tensors.stream().mapToLong(TensorSource::bytes).reduce(8L + header.length, Math::addExact);
    }

    /**
     * Writes a file: whoever looks sees the old file or the new one, never a part.
     *
     * @throws CheckpointException if it cannot be written; what was there before stays
     */
    public void write(Path path) {
        DurableFiles.replace(path, bytes(), this::write);
    }

    /** Writes the bytes of the file. */
    void write(WritableByteChannel to) throws IOException {
        to.write(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(0, header.length));
        to.write(ByteBuffer.wrap(header));
        for (TensorSource tensor : tensors) {
            write(tensor, to);
        }
    }

    /** Writes the elements of one tensor. */
    static void write(TensorSource tensor, WritableByteChannel to) throws IOException {
        int size = tensor.dtype().bytes();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment chunk = arena.allocate(Math.min(CHUNK, tensor.bytes()), 64);
            long count = tensor.count();
            for (long done = 0, now; done < count; done += now) {
                now = Math.min(CHUNK / size, count - done);
                tensor.elements().read(done, now, chunk);
                to.write(chunk.asSlice(0, now * size).asByteBuffer());
            }
        }
    }
}
