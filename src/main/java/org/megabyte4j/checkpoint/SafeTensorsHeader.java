package org.megabyte4j.checkpoint;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.tensor.DType;

/**
 * The tensors and notes of a safetensors file: eight bytes of length, that many bytes of JSON, then the data, which the
 * tensors cover without gap or overlap.
 */
record SafeTensorsHeader(Map<String, StoredTensor> tensors, Map<String, String> metadata) {
    /** Longest header that is read, as in the reference implementation of the format. */
    static final long MAX_BYTES = 100_000_000;
    static final String METADATA = "__metadata__";

    // A hostile file may have a million names: none of them shall outlive it in Jackson's or the JVM's tables.
    private static final JsonFactory JSON = JsonFactory.builder()
            .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
            .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
            .build();
    private static final ValueLayout.OfLong LENGTH =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private record Entry(String name, DType dtype, long[] shape, long begin, long end) {
    }

    /**
     * @param source the file, for messages
     * @param file   all its bytes
     */
    static SafeTensorsHeader parse(String source, MemorySegment file) {
        if (file.byteSize() < 8) {
            throw new CheckpointException(source + " is no safetensors file: it has " + file.byteSize()
                    + " bytes and would need 8 for the length of its header alone");
        }
        long length = file.get(LENGTH, 0);
        long rest = file.byteSize() - 8;
        if (length < 0 || length > MAX_BYTES) {
            throw new CheckpointException(source + " is no safetensors file: its header would have "
                    + Long.toUnsignedString(length) + " bytes, and at most " + MAX_BYTES + " are allowed");
        }
        if (length > rest) {
            throw new CheckpointException(source + " is truncated or no safetensors file: its header would have "
                    + length + " bytes, but only " + rest + " follow");
        }
        return new Parser(source, file.asSlice(8 + length)).parse(text(source, file.asSlice(8, length)));
    }

    private static String text(String source, MemorySegment header) {
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(header.asByteBuffer()).toString();
        } catch (CharacterCodingException e) {
            throw new CheckpointException(source + " is damaged or no safetensors file: its header is not UTF-8", e);
        }
    }

    private static final class Parser {
        private final String source;
        private final MemorySegment data;
        private final Map<String, Entry> entries = new LinkedHashMap<>();
        private final Map<String, String> metadata = new LinkedHashMap<>();

        Parser(String source, MemorySegment data) {
            this.source = source;
            this.data = data;
        }

        SafeTensorsHeader parse(String text) {
            if (!text.startsWith("{")) {
                throw new CheckpointException(source
                        + " is damaged or no safetensors file: its header is not a JSON object");
            }
            try (JsonParser json = JSON.createParser(text)) {
                json.nextToken();
                boolean notesSeen = false;
                while (json.nextToken() != JsonToken.END_OBJECT) {
                    String name = json.currentName();
                    if (name.equals(METADATA)) {
                        if (notesSeen) {
                            throw fault("the header has __metadata__ twice");
                        }
                        notesSeen = true;
                        readMetadata(json);
                    } else if (entries.put(name, readEntry(name, json)) != null) {
                        throw fault("two tensors are named " + brief(name));
                    }
                }
                if (json.nextToken() != null) {
                    throw fault("something follows the JSON object of the header");
                }
            } catch (JsonProcessingException e) {
                throw new CheckpointException(source
                        + " is damaged or no safetensors file: its header is not valid JSON: "
                        + e.getOriginalMessage(), e);
            } catch (IOException e) {
                throw new UncheckedIOException("reading from memory", e);
            }
            return new SafeTensorsHeader(located(), Collections.unmodifiableMap(metadata));
        }

        private void readMetadata(JsonParser json) throws IOException {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw fault("__metadata__ is not an object");
            }
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String key = json.currentName();
                if (json.nextToken() != JsonToken.VALUE_STRING) {
                    throw fault("the value of " + brief(key) + " in __metadata__ is not a string");
                }
                if (metadata.put(key, json.getText()) != null) {
                    throw fault("__metadata__ has " + brief(key) + " twice");
                }
            }
        }

        private Entry readEntry(String name, JsonParser json) throws IOException {
            if (json.nextToken() != JsonToken.START_OBJECT) {
                throw fault("the entry of the tensor " + brief(name) + " is not an object");
            }
            DType dtype = null;
            long[] shape = null;
            long[] offsets = null;
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String field = json.currentName();
                boolean first = switch (field) {
                    case "dtype" -> dtype == null;
                    case "shape" -> shape == null;
                    case "data_offsets" -> offsets == null;
                    default -> throw fault("the tensor " + brief(name) + " has the unknown field " + brief(field));
                };
                if (!first) {
                    throw fault("the tensor " + brief(name) + " has " + field + " twice");
                }
                json.nextToken();
                switch (field) {
                    case "dtype" -> dtype = readDType(name, json);
                    case "shape" -> shape = readNumbers(name, field, json);
                    default -> offsets = readNumbers(name, field, json);
                }
            }
            if (dtype == null || shape == null || offsets == null) {
                throw fault("the tensor " + brief(name) + " lacks its "
                        + (dtype == null ? "dtype" : shape == null ? "shape" : "data_offsets"));
            }
            if (offsets.length != 2) {
                throw fault("the tensor " + brief(name) + " has " + offsets.length + " data_offsets instead of 2");
            }
            return new Entry(name, dtype, shape, offsets[0], offsets[1]);
        }

        private DType readDType(String name, JsonParser json) throws IOException {
            String text = json.currentToken() == JsonToken.VALUE_STRING ? json.getText() : null;
            for (DType dtype : DType.values()) {
                if (dtype.name().equals(text)) {
                    return dtype;
                }
            }
            throw fault("the tensor " + brief(name) + " has the dtype "
                    + (text == null ? "of a " + json.currentToken() : brief(text)) + "; the known ones are "
                    + Arrays.toString(DType.values()));
        }

        private long[] readNumbers(String name, String field, JsonParser json) throws IOException {
            if (json.currentToken() != JsonToken.START_ARRAY) {
                throw fault("the " + field + " of the tensor " + brief(name) + " is not a list");
            }
            long[] numbers = new long[4];
            int count = 0;
            while (json.nextToken() != JsonToken.END_ARRAY) {
                if (json.currentToken() != JsonToken.VALUE_NUMBER_INT
                        || json.getNumberType() == JsonParser.NumberType.BIG_INTEGER || json.getLongValue() < 0) {
                    throw fault("the " + field + " of the tensor " + brief(name) + " holds " + brief(json.getText())
                            + ", which is not a whole number from 0 to 2^63-1");
                }
                if (count == numbers.length) {
                    numbers = Arrays.copyOf(numbers, 2 * count);
                }
                numbers[count++] = json.getLongValue();
            }
            return Arrays.copyOf(numbers, count);
        }

        /** The tensors in the order of their data, which they must cover from the first byte to the last. */
        private Map<String, StoredTensor> located() {
            List<Entry> order = new ArrayList<>(entries.values());
            order.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
            Map<String, StoredTensor> tensors = LinkedHashMap.newLinkedHashMap(order.size());
            long end = 0;
            for (Entry entry : order) {
                if (entry.end < entry.begin || entry.end > data.byteSize()) {
                    throw fault("the data_offsets of the tensor " + brief(entry.name) + ", " + entry.begin + " to "
                            + entry.end + ", are not within the " + data.byteSize() + " bytes of data"
                            + (entry.end > data.byteSize() ? "; the file may be truncated" : ""));
                }
                if (entry.begin != end) {
                    throw fault("the data of the tensor " + brief(entry.name) + " starts at " + entry.begin
                            + ", but what is before it ends at " + end);
                }
                long bytes = bytes(entry);
                if (bytes != entry.end - entry.begin) {
                    throw fault("the tensor " + brief(entry.name) + " has " + (entry.end - entry.begin) + " bytes, but "
                            + entry.dtype + brief(Arrays.toString(entry.shape)) + " needs " + bytes);
                }
                tensors.put(entry.name, new StoredTensor(entry.name, source, entry.dtype, entry.shape,
                        data.asSlice(entry.begin, bytes), 0, null));
                end = entry.end;
            }
            if (end != data.byteSize()) {
                throw fault((data.byteSize() - end) + " bytes at the end belong to no tensor");
            }
            return Collections.unmodifiableMap(tensors);
        }

        private long bytes(Entry entry) {
            try {
                long bytes = entry.dtype.bytes();
                for (long size : entry.shape) {
                    bytes = Math.multiplyExact(bytes, size);
                }
                return bytes;
            } catch (ArithmeticException e) {
                throw fault("the shape " + brief(Arrays.toString(entry.shape)) + " of the tensor " + brief(entry.name)
                        + " has more bytes than 2^63");
            }
        }

        private CheckpointException fault(String what) {
            return new CheckpointException(source + " is not a valid safetensors file: " + what);
        }
    }

    /** A name out of a file in a message: not longer than a line, without control characters. */
    static String brief(String name) {
        String clean = name.codePoints().limit(100).map(c -> Character.isISOControl(c) ? '?' : c)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append).toString();
        return clean.length() < name.length() ? clean + "..." : clean;
    }
}
