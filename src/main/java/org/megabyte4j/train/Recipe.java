package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.checkpoint.Checkpoint;
import org.megabyte4j.model.Recomputation;
import org.megabyte4j.tensor.DType;

/**
 * All that decides what a run computes, beside the model's configuration: what {@code trainer.json} holds so that a run
 * can be continued without a word more.
 *
 * @param seed        of fresh weights and of the batches
 * @param options     optimiser, schedule and sizes
 * @param data        where the data comes from and how it is drawn
 * @param bookkeeping what the run writes down, and how often
 * @param fingerprint of the data's content and division
 * @param threads     of the CPU, as they were asked for; null for one for each processor
 * @param device      what computes; another one may round differently
 * @param dtype       in which the model computes, F32 or BF16
 */
public record Recipe(
        @JsonProperty("seed") long seed,
        @JsonProperty("options") TrainOptions options,
        @JsonProperty("data") DataOptions data,
        @JsonProperty("bookkeeping") Bookkeeping bookkeeping,
        @JsonProperty("fingerprint") String fingerprint,
        @JsonProperty("threads") Integer threads,
        @JsonProperty("device") String device,
        @JsonProperty("dtype") DType dtype) {

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_MISSING_CREATOR_PROPERTIES)
            .build();

    /** For {@code trainer.json}. */
    public ObjectNode toJson() {
        return MAPPER.valueToTree(this);
    }

    /**
     * @param trainer the content of {@code trainer.json}
     * @param source  where it lies, for messages
     * @throws TrainException if it is not what {@link #toJson} writes
     */
    public static Recipe read(JsonNode trainer, Path source) {
        try {
            if (trainer instanceof ObjectNode fields && !fields.has("dtype")) {
                // Written before there was a choice, as below.
                fields.put("dtype", DType.F32.name());
            }
            if (trainer.get("options") instanceof ObjectNode options && !options.has("recomputation")) {
                options.set("recomputation", MAPPER.valueToTree(Recomputation.NONE));
            }
            return MAPPER.treeToValue(trainer, Recipe.class);
        } catch (JsonProcessingException e) {
            String reason = e.getCause() instanceof MegabyteException cause ? cause.getMessage() : e.getOriginalMessage();
            throw new TrainException(source + " does not describe a training run: " + reason, e);
        }
    }

    /**
     * The recipe of a trained model.
     *
     * @param folder a run folder, or one of its checkpoints
     * @return empty if no run has written the model there
     * @throws TrainException if its {@code trainer.json} cannot be read
     */
    public static Optional<Recipe> of(Path folder) {
        Path file = folder.resolve(Checkpoint.TRAINER);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try {
            return Optional.of(read(MAPPER.readTree(file.toFile()), file));
        } catch (IOException e) {
            throw new TrainException(file + " cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * Refuses to continue a run with what would make it another run.
     *
     * @param wanted how it shall be continued
     * @throws TrainException that names everything that differs
     */
    public void requireSame(Recipe wanted) {
        List<String> differences = new ArrayList<>();
        ObjectNode before = comparable();
        ObjectNode now = wanted.comparable();
        before.properties().forEach(field -> {
            JsonNode value = now.get(field.getKey());
            if (!field.getValue().equals(value)) {
                differences.add("--" + field.getKey().replace('_', '-') + " " + value.asText() + " instead of "
                        + field.getValue().asText());
            }
        });
        if (!differences.isEmpty()) {
            throw new TrainException("a resumed run must go on as it began, but this would change "
                    + String.join(", ", differences) + "; leave these options out, or start a new run in another --out");
        }
    }

    /** The fields on which the course of the training depends, under the names of their options. */
    private ObjectNode comparable() {
        ObjectNode fields = MAPPER.valueToTree(options);
        fields.remove("recomputation");   // it is memory's affair, and rounds differently at most
        for (String group : List.of("optimizer", "schedule")) {
            ObjectNode members = (ObjectNode) fields.remove(group);
            fields.set(group, members.remove("name"));
            fields.setAll(members);
        }
        if (options.schedule().isExtensible()) {
            fields.remove("steps");
        }
        fields.put("dtype", dtype.label());
        fields.put("seed", seed).put("valid_fraction", data.validFraction()).put("sampling", data.sampling().name());
        return fields;
    }

    /** @throws TrainException if the data is not what the run has learned from so far */
    public void requireSameData(String now) {
        if (!fingerprint.equals(now)) {
            throw new TrainException("the data is not what this run was trained on (its fingerprint is "
                    + now.substring(0, 12) + ", the run's " + fingerprint.substring(0, Math.min(12, fingerprint.length()))
                    + "); a resumed run needs the same files, so bring them back or start a new run in another --out");
        }
    }

    /** The same recipe for data with a fingerprint. */
    public Recipe withFingerprint(String other) {
        return new Recipe(seed, options, data, bookkeeping, other, threads, device, dtype);
    }
}
