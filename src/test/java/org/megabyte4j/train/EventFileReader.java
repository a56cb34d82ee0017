package org.megabyte4j.train;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Reads TensorBoard's event files as the descriptions of TFRecord and of protocol buffers say, checking all checksums
 * bit by bit.
 */
final class EventFileReader {
    /** One field of a message: a varint or the bits of a fixed number in {@code number}, else bytes. */
    private record Field(int number, int type, long value, byte[] bytes) {
    }

    /**
     * An event.
     *
     * @param version null but in the first event of a file
     * @param start   whether it tells that a process begins at this step
     */
    record Event(double wallTime, long step, String version, boolean start, Map<String, Float> scalars) {
    }

    private EventFileReader() {
    }

    static List<Event> read(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<Event> events = new ArrayList<>();
        while (bytes.hasRemaining()) {
            int at = bytes.position();
            byte[] record = new byte[Math.toIntExact(bytes.getLong())];
            assertThat(bytes.getInt()).as("checksum of the length at " + at)
                    .isEqualTo(masked(crc32c(bytes.slice(at, 8))));
            bytes.get(record);
            assertThat(bytes.getInt()).as("checksum of the record at " + at)
                    .isEqualTo(masked(crc32c(ByteBuffer.wrap(record))));
            events.add(event(record));
        }
        return events;
    }

    /** Castagnoli's polynomial, reflected. */
    private static int crc32c(ByteBuffer bytes) {
        int crc = -1;
        while (bytes.hasRemaining()) {
            crc ^= bytes.get() & 0xff;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc & 1) == 0 ? crc >>> 1 : crc >>> 1 ^ 0x82F63B78;
            }
        }
        return ~crc;
    }

    private static int masked(int crc) {
        return (crc >>> 15 | crc << 17) + 0xa282ead8;
    }

    private static Event event(byte[] message) {
        double wallTime = 0;
        long step = 0;
        String version = null;
        boolean start = false;
        Map<String, Float> scalars = new TreeMap<>();
        for (Field field : fields(message)) {
            switch (field.number()) {
                case 1 -> {
                    assertThat(field.type()).isEqualTo(1);
                    wallTime = Double.longBitsToDouble(field.value());
                }
                case 2 -> {
                    assertThat(field.type()).isZero();
                    step = field.value();
                }
                case 3 -> version = new String(field.bytes(), StandardCharsets.UTF_8);
                case 5 -> fields(field.bytes()).forEach(value -> addScalar(value, scalars));
                case 7 -> {
                    Field status = fields(field.bytes()).getFirst();
                    start = status.number() == 1 && status.value() == 1;
                }
                default -> throw new AssertionError("an event has no field " + field);
            }
        }
        return new Event(wallTime, step, version, start, scalars);
    }

    private static void addScalar(Field value, Map<String, Float> scalars) {
        assertThat(value.number()).isEqualTo(1);
        List<Field> parts = fields(value.bytes());
        assertThat(parts).extracting(Field::number).containsExactly(1, 2);
        assertThat(parts).extracting(Field::type).containsExactly(2, 5);
        Float before = scalars.put(new String(parts.get(0).bytes(), StandardCharsets.UTF_8),
                Float.intBitsToFloat((int) parts.get(1).value()));
        assertThat(before).isNull();
    }

    private static List<Field> fields(byte[] message) {
        ByteBuffer in = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        List<Field> fields = new ArrayList<>();
        while (in.hasRemaining()) {
            long key = varint(in);
            int type = (int) (key & 7);
            byte[] bytes = new byte[0];
            long value = 0;
            switch (type) {
                case 0 -> value = varint(in);
                case 1 -> value = in.getLong();
                case 2 -> {
                    bytes = new byte[Math.toIntExact(varint(in))];
                    in.get(bytes);
                }
                case 5 -> value = in.getInt();
                default -> throw new AssertionError("no wire type " + type);
            }
            fields.add(new Field((int) (key >>> 3), type, value, bytes));
        }
        return fields;
    }

    private static long varint(ByteBuffer in) {
        long value = 0;
        int shift = 0;
        while (true) {
            byte next = in.get();
            value |= (long) (next & 0x7f) << shift;
            if (next >= 0) {
                return value;
            }
            shift += 7;
        }
    }
}
