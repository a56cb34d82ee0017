package org.megabyte4j.train;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.zip.CRC32C;

/**
 * Scalars for TensorBoard: a file of TFRecords, each with an Event of TensorFlow's {@code event.proto}. The few fields
 * needed are written by hand.
 *
 * <p>A record is its length (uint64), a masked CRC-32C of the length, the bytes, and a masked CRC-32C of the bytes, all
 * little-endian.
 */
final class EventFile implements AutoCloseable {
    // Event
    private static final int WALL_TIME = 1;
    private static final int STEP = 2;
    private static final int FILE_VERSION = 3;
    private static final int SUMMARY = 5;
    private static final int SESSION_LOG = 7;
    // Summary, Summary.Value, SessionLog
    private static final int VALUE = 1;
    private static final int TAG = 1;
    private static final int SIMPLE_VALUE = 2;
    private static final int STATUS = 1;
    private static final int STATUS_START = 1;

    private final Path path;
    private final FileChannel file;

    /**
     * Starts a new file in a folder, which may hold those of the run's earlier processes. TensorBoard forgets what they
     * hold of the steps after {@code step}.
     *
     * @param step steps done so far
     * @throws TrainException if it cannot be written
     */
    EventFile(Path folder, long step, Instant now) {
        Path name = folder.resolve("events.out.tfevents." + now.getEpochSecond() + ".megabyte4j."
                + ProcessHandle.current().pid() + "." + System.nanoTime());
        path = name;
        try {
            Files.createDirectories(folder);
            file = FileChannel.open(name, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw unusable(e);
        }
        write(event(now, 0).text(FILE_VERSION, "brain.Event:2"));
        write(event(now, step + 1).message(SESSION_LOG, new Message().integer(STATUS, STATUS_START)));
    }

    /** @throws TrainException if the disk does not take it */
    void append(Metric metric) {
        Message summary = new Message();
        switch (metric) {
            case Metric.Step step -> {
                scalar(summary, "train/loss", step.loss());
                scalar(summary, "train/bits_per_byte", step.bitsPerByte());
                scalar(summary, "train/gradient_norm", step.gradientNorm());
                scalar(summary, "train/learning_rate", step.learningRate());
                scalar(summary, "train/bytes_per_second", step.bytesPerSecond());
            }
            case Metric.Validation validation -> {
                scalar(summary, "valid/loss", (float) validation.loss());
                scalar(summary, "valid/bits_per_byte", (float) validation.bitsPerByte());
            }
        }
        write(event(metric.time(), metric.step()).message(SUMMARY, summary));
    }

    private static void scalar(Message summary, String tag, float value) {
        summary.message(VALUE, new Message().text(TAG, tag).real(SIMPLE_VALUE, value));
    }

    private static Message event(Instant time, long step) {
        return new Message().doubleReal(WALL_TIME, time.toEpochMilli() / 1e3).integer(STEP, step);
    }

    private void write(Message event) {
        byte[] bytes = event.bytes();
        ByteBuffer record = ByteBuffer.allocate(bytes.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(bytes.length).putInt(maskedCrc(record.array(), 0, 8)).put(bytes)
                .putInt(maskedCrc(record.array(), 12, bytes.length)).flip();
        try {
            while (record.hasRemaining()) {
                file.write(record);
            }
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    /** A CRC-32C, rotated and shifted so that checksums of checksums stay good. */
    private static int maskedCrc(byte[] bytes, int from, int count) {
        CRC32C crc = new CRC32C();
        crc.update(bytes, from, count);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    private TrainException unusable(IOException e) {
        return new TrainException("TensorBoard's events cannot be written to " + path + ": " + e.getMessage()
                + "; make room or choose another --out", e);
    }

    @Override
    public void close() {
        try {
            file.close();
        } catch (IOException e) {
            throw unusable(e);
        }
    }

    /** A protocol buffer in the making. */
    private static final class Message {
        private static final int VARINT = 0;
        private static final int FIXED64 = 1;
        private static final int LENGTH_DELIMITED = 2;
        private static final int FIXED32 = 5;

        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        byte[] bytes() {
            return bytes.toByteArray();
        }

        Message integer(int field, long value) {
            key(field, VARINT);
            varint(value);
            return this;
        }

        Message real(int field, float value) {
            key(field, FIXED32);
            bytes.writeBytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putFloat(0, value).array());
            return this;
        }

        Message doubleReal(int field, double value) {
            key(field, FIXED64);
            bytes.writeBytes(ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putDouble(0, value).array());
            return this;
        }

        Message text(int field, String value) {
            return block(field, value.getBytes(StandardCharsets.UTF_8));
        }

        Message message(int field, Message value) {
            return block(field, value.bytes());
        }

        private Message block(int field, byte[] value) {
            key(field, LENGTH_DELIMITED);
            varint(value.length);
            bytes.writeBytes(value);
            return this;
        }

        private void key(int field, int type) {
            varint(field << 3 | type);
        }

        private void varint(long value) {
            long rest = value;
            while ((rest & ~0x7fL) != 0) {
                bytes.write((int) (rest & 0x7f | 0x80));
                rest >>>= 7;
            }
            bytes.write((int) rest);
        }
    }
}
