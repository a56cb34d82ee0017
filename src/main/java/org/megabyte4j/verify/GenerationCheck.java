package org.megabyte4j.verify;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.generate.Alignment;
import org.megabyte4j.generate.Generated;
import org.megabyte4j.generate.GenerationRequest;
import org.megabyte4j.generate.Generator;
import org.megabyte4j.generate.SamplingOptions;
import org.megabyte4j.generate.Score;
import org.megabyte4j.model.Parameters;

/**
 * Greedy continuations against {@code generation.json}: {@code sequences} of {@code mode} (an {@link Alignment}),
 * {@code prompt}, {@code ids}, and for each new id the largest logit, {@code top_logit}, and its lead over the second,
 * {@code top2_gap}. All prompts of one alignment are continued side by side. A continuation is compared up to the first
 * id whose lead is too small to decide in the type that the model computes in.
 */
final class GenerationCheck {
    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .build();

    private record Recorded(String mode, int[] prompt, int[] ids, double[] top_logit, double[] top2_gap) { }

    private record RecordedFile(List<Recorded> sequences) { }

    private GenerationCheck() {
    }

    static List<Check> run(Parameters parameters, Backend backend, Path file) {
        List<Recorded> sequences = read(file);
        List<Check> checks = new ArrayList<>();
        for (Alignment alignment : Alignment.values()) {
            List<Recorded> own = sequences.stream().filter(s -> s.mode.equals(alignment.id())).toList();
            if (!own.isEmpty()) {
                checks.addAll(run(parameters, backend, alignment, own));
            }
        }
        return checks;
    }

    private static List<Check> run(Parameters parameters, Backend backend, Alignment alignment,
            List<Recorded> sequences) {
        int newIds = sequences.stream().mapToInt(s -> s.ids.length).max().orElseThrow();
        var request = new GenerationRequest(sequences.stream().map(Recorded::prompt).toList(), newIds,
                SamplingOptions.greedy(), false, true);
        List<Check> checks = new ArrayList<>();
        try (Generator generator = Generator.forRequest(request, backend, parameters, sequences.size(), alignment)) {
            List<Generated> results = generator.generate(request);
            for (int i = 0; i < results.size(); i++) {
                Recorded expected = sequences.get(i);
                String name = "generation " + alignment + ", prompt of " + expected.prompt.length + ": ";
                checks.addAll(compare(name, results.get(i), expected, Tolerances.of(parameters.dtype())));
            }
        }
        return checks;
    }

    private static List<Check> compare(String name, Generated actual, Recorded expected, Tolerances tolerances) {
        int wrongIds = 0;
        double logit = 0;
        double lead = 0;
        for (int i = 0; i < expected.ids.length && expected.top2_gap[i] >= tolerances.decisiveLead(); i++) {
            Score score = actual.scores().get(i);
            wrongIds += actual.ids()[i] == expected.ids[i] ? 0 : 1;
            logit = Math.max(logit, Math.abs(score.topLogit() - expected.top_logit[i]));
            lead = Math.max(lead, Math.abs(score.lead() - expected.top2_gap[i]));
        }
        return List.of(new Check(name + "wrong ids", wrongIds, 0), new Check(name + "top logit", logit, tolerances.logit()),
                new Check(name + "lead", lead, tolerances.logit()));
    }

    private static List<Recorded> read(Path file) {
        try {
            List<Recorded> sequences = MAPPER.readValue(Files.readAllBytes(file), RecordedFile.class).sequences();
            if (sequences == null || sequences.isEmpty()) {
                throw new CheckpointException(file + " holds no \"sequences\" to compare with");
            }
            for (Recorded s : sequences) {
                if (s == null || s.prompt == null || s.ids == null || s.ids.length == 0
                        || s.top_logit == null || s.top_logit.length != s.ids.length
                        || s.top2_gap == null || s.top2_gap.length != s.ids.length) {
                    throw new CheckpointException(file + " holds a sequence without prompt or ids, or without one"
                            + " top_logit and top2_gap for each of its ids");
                }
                if (Arrays.stream(Alignment.values()).noneMatch(a -> a.id().equals(s.mode))) {
                    throw new CheckpointException(file + " holds a sequence of the mode \"" + s.mode
                            + "\"; use \"aligned\" or \"reference\"");
                }
            }
            return sequences;
        } catch (JsonProcessingException e) {
            throw new CheckpointException(file + " is not valid: " + e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw new CheckpointException(file + " cannot be read: " + e.getMessage(), e);
        }
    }
}
