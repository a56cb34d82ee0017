package org.megabyte4j.verify;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.model.Ids;
import org.megabyte4j.model.Megabyte;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * One forward and backward pass against {@code io.safetensors}: {@code input_ids} [B, T], {@code loss}, {@code logits}
 * or {@code logits_last<N>}, L2 norms {@code global_in_norm}, {@code global_out_norm}, {@code local_in_norm},
 * {@code local_out_norm}, and for each parameter {@code grad.<name>} or {@code grad_norm.<name>}.
 */
final class ModelCheck {
    private static final Pattern LAST_LOGITS = Pattern.compile("logits_last(\\d{1,9})");

    private final Parameters parameters;
    private final Backend backend;
    private final TensorFile io;
    private final Tolerances tolerances;
    private final MemoryPlan plan = new MemoryPlan();
    private final Megabyte graph;
    private final int batch;
    private final int length;

    private ModelCheck(Parameters parameters, Backend backend, TensorFile io) {
        this.parameters = parameters;
        this.backend = backend;
        this.io = io;
        tolerances = Tolerances.of(parameters.dtype());
        long[] shape = io.tensor("input_ids").shape();
        if (shape.length != 2) {
            throw new CheckpointException(io.path() + ": input_ids has the shape " + Arrays.toString(shape)
                    + "; use [batch, length]");
        }
        batch = Math.toIntExact(shape[0]);
        length = Math.toIntExact(shape[1]);
        graph = Megabyte.forTraining(parameters, batch, length, plan, backend.fusion());
    }

    static List<Check> run(Parameters parameters, Backend backend, TensorFile io) {
        ModelCheck check = new ModelCheck(parameters, backend, io);
        try (MemoryPlan memory = check.plan) {
            return check.run(memory);
        }
    }

    private List<Check> run(MemoryPlan memory) {
        Ops ops = backend.plan(memory, dry -> {
            graph.forward(dry);
            graph.lossAndBackward(dry);
        });
        backend.allocate(memory);
        int[] ids = io.ints("input_ids");
        Ids.check(ids, parameters.config().vocabularySize());
        backend.write(graph.ids(), ids);
        graph.forward(ops);

        List<Check> checks = new ArrayList<>();
        for (String name : io.names()) {
            Matcher last = LAST_LOGITS.matcher(name);
            switch (name) {
                case "logits" -> checks.add(relative(name, () -> backend.readFloats(graph.logits()),
                        tolerances.logits()));
                case "global_in_norm" -> checks.add(norm(name, graph.globalInput(), tolerances.norms()));
                case "global_out_norm" -> checks.add(norm(name, graph.globalOutput(), tolerances.norms()));
                case "local_in_norm" -> checks.add(norm(name, graph.localInput(), tolerances.norms()));
                case "local_out_norm" -> checks.add(norm(name, graph.localOutput(), tolerances.norms()));
                default -> {
                    if (last.matches()) {
                        checks.add(relative(name, () -> lastLogits(Integer.parseInt(last.group(1))),
                                tolerances.logits()));
                    }
                }
            }
        }
        graph.lossAndBackward(ops);
        for (String name : io.names()) {
            if (name.equals("loss")) {
                checks.add(Check.relative(name, backend.readFloats(graph.loss())[0], scalar(name), tolerances.loss()));
            } else if (name.startsWith("grad.")) {
                checks.add(relative(name, () -> backend.readFloats(gradient(name.substring("grad.".length()))),
                        tolerances.gradients()));
            } else if (name.startsWith("grad_norm.")) {
                checks.add(norm(name, gradient(name.substring("grad_norm.".length())), tolerances.gradients()));
            } else if (!name.equals("input_ids") && checks.stream().noneMatch(check -> check.name().equals(name))) {
                throw new CheckpointException(io.path() + " holds " + name + ", which this version cannot compare");
            }
        }
        return checks;
    }

    private Tensor gradient(String parameter) {
        if (!parameters.layout().contains(parameter)) {
            throw new CheckpointException(io.path() + " holds a gradient of " + parameter
                    + ", but the model has no such parameter");
        }
        return parameters.layout().view(graph.gradients(), parameter);
    }

    /** The logits of the last {@code count} bytes of each sequence. */
    private float[] lastLogits(int count) {
        float[] all = backend.readFloats(graph.logits());
        int row = parameters.config().vocabularySize();
        int taken = Math.min(count, length);
        float[] last = new float[batch * taken * row];
        for (int b = 0; b < batch; b++) {
            System.arraycopy(all, (b * length + length - taken) * row, last, b * taken * row, taken * row);
        }
        return last;
    }

    private Check relative(String name, Supplier<float[]> actual, double tolerance) {
        float[] expected = io.floats(name);
        float[] values = actual.get();
        if (values.length != expected.length) {
            throw new CheckpointException(io.path() + ": " + name + " has " + expected.length + " elements, the model's"
                    + " has " + values.length);
        }
        return Check.relative(name, values, expected, tolerance);
    }

    private Check norm(String name, Tensor tensor, double tolerance) {
        return Check.relative(name, Check.norm(backend.readFloats(tensor)), scalar(name), tolerance);
    }

    private float scalar(String name) {
        float[] values = io.floats(name);
        if (values.length != 1) {
            throw new CheckpointException(io.path() + ": " + name + " has " + values.length + " elements; use 1");
        }
        return values[0];
    }
}
