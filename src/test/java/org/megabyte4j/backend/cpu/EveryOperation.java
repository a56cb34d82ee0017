package org.megabyte4j.backend.cpu;

import java.nio.ByteBuffer;
import java.util.Map;
import java.util.TreeMap;
import java.util.Arrays;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Every operation once, small but worth several threads where it can be, as checksums of all bits of the results. */
final class EveryOperation {
    private EveryOperation() {
    }

    /** @param args the number of threads; prints the backend's description, then {@code name checksum} line by line */
    public static void main(String... args) {
        try (CpuBackend backend = CpuBackend.open(Integer.parseInt(args[0]))) {
            System.out.println(backend.description());
            checksums(backend).forEach((name, sum) -> System.out.println(name + " " + sum));
        }
    }

    static Map<String, Long> checksums(CpuBackend backend) {
        Map<String, Long> sums = new TreeMap<>();
        Comparison.run(backend, EveryOperation::work).forEach((name, values) -> {
            ByteBuffer bytes = ByteBuffer.allocate(4 * values.length);
            bytes.asFloatBuffer().put(values);
            CRC32 sum = new CRC32();
            sum.update(bytes);
            sums.put(name, sum.getValue());
        });
        return sums;
    }

    private static Consumer<Ops> work(Comparison.Tensors t) {
        return embeddings(t).andThen(linear(t)).andThen(layerNorm(t))
                .andThen(attention(t, "short", new AttentionShape(5, 7, 4, 2, 9)))
                .andThen(attention(t, "tiled", new AttentionShape(2, 65, 3, 1, 9))).andThen(cachedAttention(t))
                .andThen(sampling(t)).andThen(crossEntropy(t)).andThen(optimizers(t));
    }

    private static Consumer<Ops> embeddings(Comparison.Tensors t) {
        Tensor ids = t.ids(19, 3, 24);
        Tensor table = t.random(19, 37);
        Tensor positions = t.random(24, 37);
        Tensor embedded = t.result("embedded", 72, 37);
        Tensor dTable = t.changed("dTable", t.zeros(19, 37));
        Tensor dPositions = t.changed("dPositions", t.zeros(24, 37));
        return ops -> {
            ops.embed(ids, new ByteShift(8, 24), 18, table, positions, null, embedded);
            ops.embed(ids, new ByteShift(1, 8), 18, table, null, embedded, embedded);
            ops.embedBackward(ids, new ByteShift(1, 8), 18, embedded, dTable, dPositions);
        };
    }

    private static Consumer<Ops> linear(Comparison.Tensors t) {
        Tensor x = t.random(61, 39);
        Tensor weight = t.random(83, 39);
        Tensor bias = t.random(83);
        Tensor dOut = t.random(61, 83);
        Tensor out = t.result("linear", 61, 83);
        Tensor few = t.result("linear of few rows", 3, 83);
        Tensor activated = t.result("linear gelu", 61, 83);
        Tensor dX = t.result("linear dX", 61, 39);
        Tensor dWeight = t.changed("linear dWeight", t.zeros(83, 39));
        Tensor dBias = t.changed("linear dBias", t.zeros(83));
        return ops -> {
            ops.linear(x.slice(0, 3), weight, bias, null, few);
            ops.linearGelu(x, weight, bias, out, activated);
            ops.geluBackward(out, dOut, dOut, activated);
            ops.linearInputGradient(dOut, weight, null, dX);
            ops.linearWeightGradient(x, dOut, dWeight, dBias);
        };
    }

    private static Consumer<Ops> layerNorm(Comparison.Tensors t) {
        Tensor x = t.random(41, 107);
        Tensor weight = t.random(107);
        Tensor bias = t.random(107);
        Tensor out = t.result("layer norm", 41, 107);
        Tensor mean = t.result("mean", 41);
        Tensor rstd = t.result("rstd", 41);
        Tensor dX = t.result("layer norm dX", 41, 107);
        Tensor dWeight = t.changed("layer norm dWeight", t.zeros(107));
        Tensor dBias = t.changed("layer norm dBias", t.zeros(107));
        return ops -> {
            ops.layerNorm(x, weight, bias, out, mean, rstd);
            ops.layerNormBackward(out, x, weight, mean, rstd, x, dX, dWeight, dBias);
        };
    }

    private static Consumer<Ops> attention(Comparison.Tensors t, String name, AttentionShape shape) {
        Tensor qkv = t.random(shape.rows(), shape.packedWidth());
        Tensor dOut = t.random(shape.rows(), shape.width());
        Tensor out = t.result(name + " attention", shape.rows(), shape.width());
        Tensor logSumExp = t.result(name + " logSumExp", shape.batch(), shape.heads(), shape.length());
        Tensor dQkv = t.result(name + " dQkv", shape.rows(), shape.packedWidth());
        return ops -> {
            ops.causalAttention(shape, qkv, AttentionBias.ALIBI, out, logSumExp);
            ops.causalAttentionBackward(shape, qkv, AttentionBias.ALIBI, out, logSumExp, dOut, dQkv);
        };
    }

    private static Consumer<Ops> cachedAttention(Comparison.Tensors t) {
        AttentionShape shape = new AttentionShape(2, 3, 4, 2, 9);
        Tensor qkv = t.random(shape.rows(), shape.packedWidth());
        Tensor cache = t.changed("cache", 2, 20, shape.keyValueWidth());
        Tensor past = t.ints(17, 4);
        Tensor out = t.result("cached attention", shape.rows(), shape.width());
        return ops -> ops.cachedAttention(shape, qkv, AttentionBias.ALIBI, cache, past, out);
    }

    private static Consumer<Ops> sampling(Comparison.Tensors t) {
        Tensor logits = t.random(3, 41);
        Tensor settings = t.ints(new SamplingSettings(0.7, 20, 0.9, 1.5, 8).toInts());
        int[] all = new int[41];
        Arrays.fill(all, 1);
        Tensor allowed = t.ints(all);
        Tensor numbers = t.ints(0, 1, 2);
        Tensor forced = t.ints(-1, 7, -1);
        Tensor seen = t.ints(5, 0, 0, 1, -1, 0);
        Tensor chosen = t.ints(-1, -1, -1);
        Tensor faults = t.ints(-1, -1, -1);
        return ops -> ops.sample(logits, settings, allowed, numbers, numbers, forced, seen, chosen, faults);
    }

    private static Consumer<Ops> crossEntropy(Comparison.Tensors t) {
        Tensor logits = t.random(31, 83);
        Tensor targets = t.ids(83, 31);
        Tensor count = t.ints(-1);
        Tensor loss = t.changed("loss", t.zeros(1));
        Tensor gradient = t.result("dLogits", 31, 83);
        return ops -> {
            ops.countTargets(targets, 0, count);
            ops.softmaxCrossEntropy(logits, targets, 0, count, loss, null, 1);
            ops.softmaxCrossEntropy(logits, targets, 0, count, loss, gradient, 1);
        };
    }

    private static Consumer<Ops> optimizers(Comparison.Tensors t) {
        ParameterLayout layout = ParameterLayout.builder().add("w", true, 33, 29).add("b", false, 33).build();
        boolean[] decays = {true, false};
        long elements = layout.elements();
        var settings = new Ops.AdamWSettings(0.9, 0.98, 1e-8, 0.1);
        Tensor gradients = t.random(elements);
        Tensor scalars = t.values(StepScalars.of(0.01f, 0.1f, 0.02f, 0.5f), 4);
        Tensor norm = t.result("norm", 1);
        Ops.Clip clip = new Ops.Clip(norm, 1);
        Tensor adamW = t.changed("AdamW", elements);
        Tensor anyPrecision = t.changed("AnyPrecisionAdamW", elements);
        Tensor adafactor = t.changed("Adafactor", elements);
        Tensor first = t.changed("first moment", t.zeros(elements));
        Tensor second = t.changed("second moment", t.zeros(elements));
        Tensor compensation = t.changed("compensation", t.zeros(elements));
        Tensor copy = t.scratch(DType.BF16, elements);
        Tensor state = t.changed("Adafactor's state", t.zeros(Ops.adafactorStateElements(layout)));
        return ops -> {
            ops.norm(gradients, norm);
            ops.adamW(settings, layout, decays, scalars, clip, adamW, copy, gradients, first, second);
            ops.anyPrecisionAdamW(settings, layout, decays, scalars, clip, anyPrecision, copy, gradients, first,
                    second, compensation);
            ops.adafactor(new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, true, 0, true), layout, decays, scalars, clip,
                    adafactor, copy, gradients, state);
        };
    }
}
