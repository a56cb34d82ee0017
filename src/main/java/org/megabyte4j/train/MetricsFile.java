package org.megabyte4j.train;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.DeserializationContext;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.SerializerProvider;
import com.fasterxml.jackson.databind.deser.std.StdScalarDeserializer;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.StdScalarSerializer;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.function.Consumer;

/**
 * {@code metrics.jsonl}: a JSON object per line, in the order of the steps. A run that continues from a checkpoint
 * first forgets what came after it, so that the file becomes what an uninterrupted run writes, but for the times.
 */
final class MetricsFile implements AutoCloseable {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .addModule(new SimpleModule().addSerializer(new InstantWriter()).addDeserializer(Instant.class,
                    new InstantReader()))
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .build();

    private final Path path;
    private final FileChannel file;

    private MetricsFile(Path path, FileChannel file) {
        this.path = path;
        this.file = file;
    }

    /**
     * Opens the file to go on after a step.
     *
     * @param step what came later is cut off; 0 cuts off everything
     * @param kept gets what stays, in order
     * @throws TrainException if the file cannot be read or written
     */
    static MetricsFile continueAfter(Path path, long step, Consumer<Metric> kept) {
        try {
            long end = Files.exists(path) ? replay(path, step, kept) : 0;
            FileChannel file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            file.truncate(end).position(file.size());
            if (file.size() < end) {
                file.write(ByteBuffer.wrap(new byte[] {'\n'}));
            }
            return new MetricsFile(path, file);
        } catch (IOException e) {
            throw unusable(path, e);
        }
    }

    /** @return where the last line that stays ends, which is behind the file's end if its line feed is missing */
    private static long replay(Path path, long step, Consumer<Metric> kept) throws IOException {
        long end = 0;
        try (BufferedReader lines = Files.newBufferedReader(path, StandardCharsets.ISO_8859_1)) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                Metric metric = parse(line);
                if (metric == null || metric.step() > step) {
                    break;
                }
                end += line.length() + 1;
                kept.accept(metric);
            }
        }
        return end;
    }

    /** Null if the line is cut off or was never one of ours. */
    private static Metric parse(String line) {
        try {
            JsonNode tree = MAPPER.readTree(line);
            return tree.has("valid_loss") ? MAPPER.treeToValue(tree, Metric.Validation.class)
                    : tree.has("loss") ? MAPPER.treeToValue(tree, Metric.Step.class) : null;
        } catch (JsonProcessingException e) {
            return null;
        }
    }

    /** @throws TrainException if the disk does not take it */
    void append(Metric metric) {
        try {
            ByteBuffer line = ByteBuffer.wrap((MAPPER.writeValueAsString(metric) + "\n")
                    .getBytes(StandardCharsets.UTF_8));
            while (line.hasRemaining()) {
                file.write(line);
            }
        } catch (IOException e) {
            throw unusable(path, e);
        }
    }

    /** Makes everything durable that was appended so far. */
    void force() {
        try {
            file.force(true);
        } catch (IOException e) {
            throw unusable(path, e);
        }
    }

    @Override
    public void close() {
        try {
            file.close();
        } catch (IOException e) {
            throw unusable(path, e);
        }
    }

    private static TrainException unusable(Path path, IOException e) {
        return new TrainException("the metrics cannot be written to " + path + ": " + e.getMessage()
                + "; make room or choose another --out", e);
    }

    /** Times in milliseconds, as ISO 8601 in UTC. */
    private static final class InstantWriter extends StdScalarSerializer<Instant> {
        InstantWriter() {
            super(Instant.class);
        }

        @Override
        public void serialize(Instant time, JsonGenerator to, SerializerProvider provider) throws IOException {
            to.writeString(time.truncatedTo(ChronoUnit.MILLIS).toString());
        }
    }

    private static final class InstantReader extends StdScalarDeserializer<Instant> {
        InstantReader() {
            super(Instant.class);
        }

        @Override
        public Instant deserialize(JsonParser from, DeserializationContext context) throws IOException {
            try {
                return Instant.parse(from.getText());
            } catch (DateTimeException e) {
                throw context.weirdStringException(from.getText(), Instant.class, "not a time");
            }
        }
    }
}
