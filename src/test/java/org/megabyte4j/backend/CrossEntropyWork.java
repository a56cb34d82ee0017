package org.megabyte4j.backend;

import java.util.Arrays;
import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.Comparison.Tensors;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** What tests of the loss compute on every backend. */
public final class CrossEntropyWork {
    private CrossEntropyWork() {
    }

    /** The loss alone, with its gradient, and with a scaled gradient in place of the logits. */
    public static Function<Tensors, Consumer<Ops>> lossAndGradient(int rows, int vocabulary, int ignored) {
        return t -> {
            Tensor logits = t.normal(3, rows, vocabulary);
            Tensor inPlace = t.changed("gradient on the logits", t.normal(3, rows, vocabulary));
            Tensor targets = t.ids(vocabulary, rows);
            Tensor count = t.changed("count", t.ints(-1));
            Tensor loss = t.changed("loss", t.values(DType.F32, new float[1], 1));
            Tensor gradient = t.result("gradient", rows, vocabulary);
            return ops -> {
                ops.countTargets(targets, ignored, count);
                ops.softmaxCrossEntropy(logits, targets, ignored, count, loss, null, 1);
                ops.softmaxCrossEntropy(logits, targets, ignored, count, loss, gradient, 1);
                ops.softmaxCrossEntropy(inPlace, targets, ignored, count, loss, inPlace, 0.25f);
            };
        };
    }

    /** Rows of logits that are all {@code size}, all its negative, mixed, or 0 but for one of them. */
    public static Function<Tensors, Consumer<Ops>> extremeLogits(float size) {
        float[] values = new float[5 * 21];
        Arrays.fill(values, 0, 21, size);
        Arrays.fill(values, 21, 42, -size);
        for (int i = 42; i < 63; i++) {
            values[i] = i % 2 == 0 ? size : -size;
        }
        values[63 + 4] = size;
        values[84 + 4] = -size;
        return t -> {
            Tensor logits = t.values(values, 5, 21);
            Tensor targets = t.ints(0, 20, 1, 4, 4);
            Tensor count = t.ints(-1);
            Tensor loss = t.changed("loss", t.values(DType.F32, new float[1], 1));
            Tensor gradient = t.result("gradient", 5, 21);
            return ops -> {
                ops.countTargets(targets, -1, count);
                ops.softmaxCrossEntropy(logits, targets, -1, count, loss, gradient, 1);
            };
        };
    }
}
