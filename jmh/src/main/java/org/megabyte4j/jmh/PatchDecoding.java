package org.megabyte4j.jmh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.LocalWeights;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** A local model over a patch, at one go and operation by operation: which is faster is for the hardware to say. */
final class PatchDecoding {
    private static final ByteShift NO_SHIFT = new ByteShift(0, 1);

    private final MegabyteConfig config;
    private final int batch;
    private final int patch;
    private final LocalWeights model;
    private final Tensor slices;
    private final PatchChoice choice;
    private final Tensor logits;

    /** Greedy, as the milestones are. */
    PatchDecoding(Program p, MegabyteConfig config, int batch) {
        this.config = config;
        this.batch = batch;
        patch = config.patchSize();
        int vocabulary = config.vocabularySize();
        model = model(p, config);
        slices = p.values(DType.BF16, (long) batch * patch, config.localSize());
        int[] all = new int[vocabulary];
        Arrays.fill(all, 1);
        int[] none = new int[patch * batch];
        Arrays.fill(none, -1);
        choice = new PatchChoice(p.ids(256, batch), p.of(new SamplingSettings(0, 0, 1, 1, 1).toInts()), p.of(all),
                p.of(new int[batch]), p.of(new int[patch * batch]).view(patch, batch), p.of(none).view(patch, batch),
                p.empty(DType.I32, batch, Math.ceilDiv(vocabulary, Integer.SIZE)),
                p.empty(DType.I32, patch, 2, batch));
        logits = p.empty(patch, batch, vocabulary);
    }

    /** Weights in one arena, as a model has them. */
    private static LocalWeights model(Program p, MegabyteConfig config) {
        long dim = config.localSize();
        long width = (long) config.localHeads() * config.localHeadSize();
        ParameterLayout.Builder builder = ParameterLayout.builder();
        builder.add("table", false, config.vocabularySize(), dim);
        for (int i = 0; i < config.localLayers(); i++) {
            builder.add("normWeight" + i, false, dim).add("normBias" + i, false, dim)
                    .add("qkv" + i, true, width + 2L * config.localHeadSize(), dim).add("out" + i, true, dim, width)
                    .add("ffWeight" + i, false, dim).add("ffBias" + i, false, dim)
                    .add("expand" + i, true, 4 * dim, dim).add("expandBias" + i, false, 4 * dim)
                    .add("contract" + i, true, dim, 4 * dim).add("contractBias" + i, false, dim);
        }
        builder.add("head", true, config.vocabularySize(), dim).add("headBias", false, config.vocabularySize());
        ParameterLayout layout = builder.build();
        Tensor arena = p.values(DType.BF16, layout.elements());
        List<LocalWeights.Layer> layers = new ArrayList<>();
        for (int i = 0; i < config.localLayers(); i++) {
            int layer = i;
            Tensor[] w = List.of("normWeight", "normBias", "qkv", "out", "ffWeight", "ffBias", "expand", "expandBias",
                    "contract", "contractBias").stream().map(name -> layout.view(arena, name + layer))
                    .toArray(Tensor[]::new);
            layers.add(new LocalWeights.Layer(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9]));
        }
        return new LocalWeights(layout.view(arena, "table"), layers, layout.view(arena, "head"),
                layout.view(arena, "headBias"), config.localHeads(), AttentionBias.ALIBI);
    }

    KernelCase.Call atOnce() {
        return KernelCase.Call.of(ops -> ops.decodePatch(model, slices, choice, logits));
    }

    KernelCase.Call byteByByte(Program p) {
        long dim = config.localSize();
        var shape = new AttentionShape(batch, 1, config.localHeads(), 1, config.localHeadSize());
        Tensor x = p.empty(DType.BF16, batch, dim);
        Tensor normed = p.empty(DType.BF16, batch, dim);
        Tensor qkv = p.empty(DType.BF16, batch, shape.packedWidth());
        Tensor attended = p.empty(DType.BF16, batch, shape.width());
        Tensor hidden = p.empty(DType.BF16, batch, 4 * dim);
        Tensor activated = p.empty(DType.BF16, batch, 4 * dim);
        Tensor mean = p.empty(batch);
        Tensor rstd = p.empty(batch);
        Tensor scores = p.empty(DType.BF16, batch, config.vocabularySize());
        List<Tensor> caches = new ArrayList<>();
        for (int i = 0; i < config.localLayers(); i++) {
            caches.add(p.empty(DType.BF16, batch, patch, shape.keyValueWidth()));
        }
        List<Tensor> past = new ArrayList<>();
        List<Tensor> rows = new ArrayList<>();
        for (int i = 0; i < patch; i++) {
            int step = i;
            past.add(p.of(IntStream.generate(() -> step).limit(batch).toArray()));
            rows.add(p.of(IntStream.range(0, batch).map(b -> b * patch + step).toArray()));
        }
        return KernelCase.Call.of(ops -> {
            for (int i = 0; i < patch; i++) {
                Tensor before = i == 0 ? choice.previous() : choice.results().part(2L * batch * (i - 1), batch);
                ops.embed(rows.get(i), NO_SHIFT, 0, slices, null, null, x);
                ops.embed(before, NO_SHIFT, 0, model.table(), null, x, x);
                for (int l = 0; l < caches.size(); l++) {
                    LocalWeights.Layer layer = model.layers().get(l);
                    ops.layerNorm(x, layer.attentionNormWeight(), layer.attentionNormBias(), normed, mean, rstd);
                    ops.linear(normed, layer.qkv(), null, null, qkv);
                    ops.cachedAttention(shape, qkv, model.bias(), caches.get(l), past.get(i), attended);
                    ops.linear(attended, layer.out(), null, x, x);
                    ops.layerNorm(x, layer.feedForwardNormWeight(), layer.feedForwardNormBias(), normed, mean, rstd);
                    ops.linearGelu(normed, layer.expand(), layer.expandBias(), hidden, activated);
                    ops.linear(activated, layer.contract(), layer.contractBias(), x, x);
                }
                ops.linear(x, model.headWeight(), model.headBias(), null, scores);
                choose(ops, i, scores);
            }
        });
    }

    private void choose(Ops ops, int i, Tensor scores) {
        Tensor ofByte = logits.part((long) batch * config.vocabularySize() * i, batch, config.vocabularySize());
        ops.copy(scores, ofByte);
        ops.sample(ofByte, choice.settings(), choice.allowed(), choice.sequences(),
                choice.positions().part((long) batch * i, batch), choice.forced().part((long) batch * i, batch),
                choice.seen(), choice.results().part(2L * batch * i, batch),
                choice.results().part(2L * batch * i + batch, batch));
    }
}
