package org.megabyte4j.verify;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.train.OptimizerOptions;
import org.megabyte4j.train.Schedule;
import org.megabyte4j.train.TrainOptions;
import org.megabyte4j.train.Trainer;

/**
 * A training run against {@code curve.json}: AdamW from the given weights, batch i being the next bytes of the training
 * file, row by row; then the mean loss over the start of the validation file.
 */
final class CurveCheck {
    /** How many losses must agree closely; later ones drift, as rounding is amplified from step to step. */
    private static final int CLOSE_STEPS = 50;
    private static final double NEAR = 1e-2;

    private final JsonNode golden;
    private final Path source;
    private final Path data;
    private final int batch;
    private final int length;

    private CurveCheck(Path source, Path data) {
        this.source = source;
        this.data = data;
        golden = GoldenJson.read(source);
        batch = GoldenJson.count(golden, "batch", source);
        length = GoldenJson.count(golden, "seq_len", source);
    }

    /**
     * @param parameters the weights to start from; they are changed
     * @param data       the folder that the text files of curve.json are in
     */
    static List<Check> run(Parameters parameters, Backend backend, Path curve, Path data) {
        CurveCheck check = new CurveCheck(curve, data);
        return check.run(parameters, backend);
    }

    private List<Check> run(Parameters parameters, Backend backend) {
        Tolerances tolerances = Tolerances.of(parameters.dtype());
        int steps = GoldenJson.count(golden, "steps", source);
        JsonNode losses = golden.path("loss");
        JsonNode norms = golden.path("grad_norm");
        if (losses.size() != steps || norms.size() != steps) {
            throw new CheckpointException(source + " holds " + losses.size() + " losses and " + norms.size()
                    + " gradient norms for " + steps + " steps");
        }
        int[] text = bytes("train_file", (long) steps * batch * length);
        double furthest = 0;
        double last = 0;
        double firstNorm = 0;
        try (Trainer trainer = Trainer.create(parameters, options(), backend)) {
            int[] ids = new int[batch * length];
            for (int step = 0; step < steps; step++) {
                System.arraycopy(text, step * ids.length, ids, 0, ids.length);
                trainer.step(ids);
                last = trainer.loss();
                if (step == 0) {
                    firstNorm = trainer.gradientNorm();
                }
                if (step < CLOSE_STEPS) {
                    furthest = Math.max(furthest, Math.abs(last - losses.get(step).asDouble()));
                }
            }
        }
        return List.of(Check.relative("gradient norm of step 1", firstNorm, norms.get(0).asDouble(),
                        tolerances.gradientNorm()),
                new Check("losses of steps 1 to " + Math.min(steps, CLOSE_STEPS), furthest,
                        tolerances.closeLosses()),
                Check.relative("loss of step " + steps, last, losses.get(steps - 1).asDouble(), NEAR),
                Check.relative("validation loss", validationLoss(parameters, backend),
                        GoldenJson.number(golden, "valid_loss", source), NEAR));
    }

    private TrainOptions options() {
        OptimizerOptions usual = OptimizerOptions.adamW();
        OptimizerOptions adamW = new OptimizerOptions(usual.kind(), golden.path("beta1").asDouble(usual.beta1()),
                golden.path("beta2").asDouble(usual.beta2()), golden.path("eps").asDouble(usual.epsilon()),
                golden.path("weight_decay").asDouble(0), true, usual.dynamicWeightDecay(), usual.scaleParameter(),
                usual.kahan(), usual.momentumType(), usual.varianceType(), usual.compensationType());
        return new TrainOptions(batch, length, 1, GoldenJson.number(golden, "clip_global_norm", source), adamW,
                Schedule.constant(GoldenJson.number(golden, "lr", source)));
    }

    private double validationLoss(Parameters parameters, Backend backend) {
        int bytes = GoldenJson.count(golden, "valid_bytes", source) / length * length;
        int[] text = bytes("valid_file", bytes);
        try (MemoryPlan plan = new MemoryPlan()) {
            Megabyte graph = Megabyte.forEvaluation(parameters, 1, length, plan, backend.fusion());
            Ops ops = backend.plan(plan, dry -> {
                graph.forward(dry);
                graph.loss(dry);
            });
            backend.allocate(plan);
            int[] ids = new int[length];
            double sum = 0;
            for (int start = 0; start < bytes; start += length) {
                System.arraycopy(text, start, ids, 0, length);
                backend.write(graph.ids(), ids);
                ops.fill(graph.loss(), 0);
                graph.forward(ops);
                graph.loss(ops);
                sum += backend.readFloats(graph.loss())[0];
            }
            return sum * length / bytes;
        }
    }

    /** The first {@code count} bytes of the file that a field names. */
    private int[] bytes(String field, long count) {
        Path file = data.resolve(golden.path(field).asText(""));
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(source + " needs the text file " + file + ", which is not there; name its folder"
                    + " with --data");
        }
        try (InputStream in = Files.newInputStream(file)) {
            byte[] text = in.readNBytes(Math.toIntExact(count));
            if (text.length < count) {
                throw new CheckpointException(file + " has " + text.length + " bytes, but " + source + " needs " + count);
            }
            int[] ids = new int[text.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = text[i] & 0xff;
            }
            return ids;
        } catch (IOException e) {
            throw new CheckpointException(file + " cannot be read: " + e.getMessage(), e);
        }
    }
}
