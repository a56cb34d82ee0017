package org.megabyte4j.backend;

import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.tensor.Tensor;

/** What tests of linear layers compute on every backend. */
public final class LinearWork {
    private LinearWork() {
    }

    /** Forward with and without bias and addend, also in place. */
    public static Function<Tensors, Consumer<Ops>> forward(int rows, int in, int out) {
        return t -> {
            Tensor x = t.random(rows, in);
            Tensor weight = t.random(out, in);
            Tensor bias = t.random(out);
            Tensor addend = t.random(rows, out);
            Tensor plain = t.result("plain", rows, out);
            Tensor biased = t.result("with bias", rows, out);
            Tensor added = t.result("with addend", rows, out);
            Tensor both = t.result("with both", rows, out);
            Tensor inPlace = t.changed("in place", rows, out);
            Tensor inPlaceBiased = t.changed("in place with bias", rows, out);
            return ops -> {
                ops.linear(x, weight, null, null, plain);
                ops.linear(x, weight, bias, null, biased);
                ops.linear(x, weight, null, addend, added);
                ops.linear(x, weight, bias, addend, both);
                ops.linear(x, weight, null, inPlace, inPlace);
                ops.linear(x, weight, bias, inPlaceBiased, inPlaceBiased);
            };
        };
    }

    /** A layer with its GELU. */
    public static Function<Tensors, Consumer<Ops>> gelu(int rows, int in, int out) {
        return t -> {
            Tensor x = t.random(rows, in);
            Tensor weight = t.normal(1 / Math.sqrt(in), out, in);
            Tensor bias = t.random(out);
            Tensor preActivation = t.result("pre-activation", rows, out);
            Tensor activated = t.result("activated", rows, out);
            return ops -> ops.linearGelu(x, weight, bias, preActivation, activated);
        };
    }

    /** The gradient of the input, alone, added to something, and in place. */
    public static Function<Tensors, Consumer<Ops>> inputGradient(int rows, int in, int out) {
        return t -> {
            Tensor dOut = t.random(rows, out);
            Tensor weight = t.random(out, in);
            Tensor addend = t.random(rows, in);
            Tensor plain = t.result("plain", rows, in);
            Tensor added = t.result("with addend", rows, in);
            Tensor inPlace = t.changed("in place", rows, in);
            return ops -> {
                ops.linearInputGradient(dOut, weight, null, plain);
                ops.linearInputGradient(dOut, weight, addend, added);
                ops.linearInputGradient(dOut, weight, inPlace, inPlace);
            };
        };
    }

    /** The parameters' gradients, with and without a bias. */
    public static Function<Tensors, Consumer<Ops>> weightGradient(int rows, int in, int out) {
        return t -> {
            Tensor x = t.random(rows, in);
            Tensor dOut = t.random(rows, out);
            Tensor dWeight = t.float32Changed("dWeight", out, in);
            Tensor alone = t.float32Changed("dWeight without bias", out, in);
            Tensor dBias = t.float32Changed("dBias", out);
            return ops -> {
                ops.linearWeightGradient(x, dOut, dWeight, dBias);
                ops.linearWeightGradient(x, dOut, alone, null);
            };
        };
    }
}
