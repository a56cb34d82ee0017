package org.megabyte4j.verify;

import com.fasterxml.jackson.databind.JsonNode;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.StoredTensor;
import org.megabyte4j.checkpoint.TensorFile;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;
import org.megabyte4j.train.Optimizer;
import org.megabyte4j.train.OptimizerOptions;

/**
 * An optimiser's steps against {@code optimizer.json} and {@code steps.safetensors}: {@code param.<name>}, then for each
 * step k the gradient {@code grad.<k>.<name>} and the parameter {@code after.<k>.<name>}. Every parameter decays.
 */
final class OptimizerCheck {
    private static final double FLOAT = 1e-6;
    private static final double BF16_ULPS = 1;

    private final TensorFile file;
    private final Backend backend;
    private final Golden golden;
    private final ParameterLayout layout;
    private final MemoryPlan plan = new MemoryPlan();
    private final Tensor parameters;
    private final Tensor gradients;
    private final Tensor scalars;
    private final Optimizer optimizer;

    /** What optimizer.json says. */
    private record Golden(JsonNode json, Path source) {
        double number(String field, double otherwise) {
            return json.path(field).asDouble(otherwise);
        }

        DType dtype(String field) {
            String name = json.path(field).asText("F32");
            return switch (name) {
                case "F32" -> DType.F32;
                case "BF16" -> DType.BF16;
                default -> throw new CheckpointException(source + " has the dtype " + name + "; use F32 or BF16");
            };
        }

        OptimizerOptions options() {
            String name = json.path("optimizer").asText();
            OptimizerOptions usual = switch (name) {
                case "adamw" -> OptimizerOptions.adamW();
                case "adafactor" -> OptimizerOptions.adafactor();
                case "anyprecision" -> OptimizerOptions.anyPrecision();
                default -> throw new CheckpointException(source + " is of the optimizer \"" + name
                        + "\"; use adamw, adafactor or anyprecision");
            };
            return new OptimizerOptions(usual.kind(), number("beta1", usual.beta1()), number("beta2", usual.beta2()),
                    number("eps", usual.epsilon()), number("weight_decay", 0), true,
                    json.path("dynamic_weight_decay").asBoolean(), json.path("scale_parameter").asBoolean(true),
                    json.path("use_kahan_summation").asBoolean(), dtype("momentum_dtype"), dtype("variance_dtype"),
                    dtype("compensation_dtype"));
        }
    }

    private OptimizerCheck(Path json, TensorFile file, Backend backend) {
        this.file = file;
        this.backend = backend;
        golden = new Golden(GoldenJson.read(json), json);
        ParameterLayout.Builder builder = ParameterLayout.builder();
        for (String name : file.names()) {
            if (name.startsWith("param.")) {
                builder.add(name.substring("param.".length()), true, file.tensor(name).shape());
            }
        }
        layout = builder.build();
        DType dtype = golden.dtype("dtype");
        parameters = plan.tensor(MemoryPlan.Category.PARAMETERS, "parameters", dtype, layout.elements());
        gradients = plan.tensor(MemoryPlan.Category.GRADIENTS, "gradients", dtype, layout.elements());
        scalars = plan.tensor(MemoryPlan.Category.INPUTS, "scalars", DType.F32, StepScalars.COUNT);
        optimizer = golden.options().plan(layout, plan);
    }

    static List<Check> run(Path json, TensorFile steps, Backend backend) {
        OptimizerCheck check = new OptimizerCheck(json, steps, backend);
        try (MemoryPlan memory = check.plan) {
            return check.run(memory);
        }
    }

    private List<Check> run(MemoryPlan memory) {
        Ops ops = backend.plan(memory,
                dry -> optimizer.step(dry, scalars, Ops.Clip.NONE, parameters, null, gradients));
        backend.allocate(memory);
        for (String name : layout.names()) {
            write(layout.view(parameters, name), file.tensor("param." + name));
        }
        List<Check> checks = new ArrayList<>();
        long steps = golden.json.path("steps").asLong(1);
        for (long step = 1; step <= steps; step++) {
            for (String name : layout.names()) {
                write(layout.view(gradients, name), file.tensor("grad." + step + "." + name));
            }
            float[] values = new float[StepScalars.COUNT];
            optimizer.putScalars(step, golden.number("lr", 0), values);
            backend.write(scalars, values);
            optimizer.step(ops, scalars, Ops.Clip.NONE, parameters, null, gradients);
            for (String name : layout.names()) {
                checks.add(compare("after." + step + "." + name, layout.view(parameters, name)));
            }
        }
        return checks;
    }

    private void write(Tensor to, StoredTensor from) {
        if (from.dtype() != to.dtype() || from.elements() != to.elements()) {
            throw new CheckpointException(file.path() + ": " + from + " is not " + to);
        }
        backend.write(to, from.data());
    }

    private Check compare(String name, Tensor actual) {
        StoredTensor expected = file.tensor(name);
        if (actual.dtype() == DType.F32) {
            return Check.relative(name, backend.readFloats(actual), expected.floats(), FLOAT);
        }
        short[] bits = new short[Math.toIntExact(actual.elements())];
        short[] wanted = new short[bits.length];
        backend.read(actual, MemorySegment.ofArray(bits));
        MemorySegment.ofArray(wanted).copyFrom(expected.data());
        int furthest = 0;
        for (int i = 0; i < bits.length; i++) {
            furthest = Math.max(furthest, Math.abs(ordered(bits[i]) - ordered(wanted[i])));
        }
        return new Check(name + " (units in the last place)", furthest, BF16_ULPS);
    }

    /** Whole numbers in the order of the bfloat16 numbers that the bits stand for. */
    private static int ordered(short bits) {
        return bits < 0 ? -(bits & 0x7fff) : bits;
    }
}
