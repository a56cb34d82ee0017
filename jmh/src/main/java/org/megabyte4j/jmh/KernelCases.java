package org.megabyte4j.jmh;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.ByteShift;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchInput;
import org.megabyte4j.backend.SamplingSettings;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.ModelLayout;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Every operation at the shapes that a model has in training, and in generation where it is for that. */
final class KernelCases {
    private static final AttentionBias BIAS = AttentionBias.ALIBI;

    private final KernelSizes sizes;
    private final MegabyteConfig model;
    private final DType dtype;
    private final List<KernelCase> cases = new ArrayList<>();

    private KernelCases(KernelSizes sizes, DType dtype) {
        this.sizes = sizes;
        this.dtype = dtype;
        model = sizes.model();
    }

    static List<KernelCase> of(KernelSizes sizes, DType dtype) {
        KernelCases all = new KernelCases(sizes, dtype);
        all.elementwise();
        all.embeddings();
        all.products();
        all.normalisations();
        all.attentions();
        all.layersAtOnce();
        all.generation();
        all.loss();
        all.optimisers();
        return List.copyOf(all.cases);
    }

    private void add(String operation, String shape, Function<Program, KernelCase.Call> work) {
        cases.add(new KernelCase(operation, shape, dtype, work));
    }

    private static String rows(long rows, long columns) {
        return rows + " x " + columns;
    }

    // ---- elements --------------------------------------------------------------------------------------------------

    private void elementwise() {
        long rows = sizes.positions();
        int columns = model.localSize();
        DType other = dtype == DType.F32 ? DType.BF16 : DType.F32;
        add("fill", rows(rows, columns), p -> {
            Tensor x = p.empty(dtype, rows, columns);
            return KernelCase.Call.of(ops -> ops.fill(x, 1));
        });
        add("copy to " + other.label(), rows(rows, columns), p -> {
            Tensor from = p.values(dtype, rows, columns);
            Tensor to = p.empty(other, rows, columns);
            return KernelCase.Call.of(ops -> ops.copy(from, to));
        });
        gelu(sizes.patches(), 4 * model.globalSize());
        gelu(sizes.positions(), 4 * model.localSize());
    }

    private void gelu(long rows, int columns) {
        add("geluBackward", rows(rows, columns), p -> {
            Tensor x = p.values(dtype, rows, columns);
            Tensor dOut = p.values(dtype, rows, columns);
            Tensor dX = p.empty(dtype, rows, columns);
            Tensor activated = p.empty(dtype, rows, columns);
            return KernelCase.Call.of(ops -> ops.geluBackward(x, dOut, dX, activated));
        });
    }

    // ---- embeddings ------------------------------------------------------------------------------------------------

    private void embeddings() {
        long rows = sizes.positions();
        int width = model.globalEmbeddingSize();
        var shift = new ByteShift(model.patchSize(), sizes.length());
        add("embed", rows(rows, width), p -> {
            Tensor ids = ids(p);
            Tensor weights = p.values(dtype, model.vocabularySize(), width);
            Tensor out = p.empty(dtype, rows, width);
            return KernelCase.Call.of(ops -> ops.embed(ids, shift, model.padId(), weights, null, null, out));
        });
        add("embedBackward", rows(rows, width), p -> {
            Tensor ids = ids(p);
            Tensor dOut = p.values(dtype, rows, width);
            Tensor dTable = p.empty(model.vocabularySize(), width);
            return KernelCase.Call.of(ops -> ops.embedBackward(ids, shift, model.padId(), dOut, dTable, null));
        });
    }

    private Tensor ids(Program p) {
        return p.ids(Math.min(256, model.vocabularySize()), sizes.batch(), sizes.length());
    }

    // ---- products --------------------------------------------------------------------------------------------------

    private void products() {
        int global = model.globalSize();
        int local = model.localSize();
        linear(sizes.patches(), global, global + 2 * model.globalHeadSize(), false);
        linear(sizes.patches(), 4 * global, global, true);
        linear(sizes.positions(), model.globalEmbeddingSize(), local, true);
        linear(sizes.positions(), local, local + 2 * model.localHeadSize(), false);
        linear(sizes.positions(), 4 * local, local, true);
        linear(sizes.positions(), local, model.vocabularySize(), true);
        linearGelu(sizes.patches(), global);
        linearGelu(sizes.positions(), local);
        gradients(sizes.patches(), global, 4 * global);
        gradients(sizes.patches(), 4 * global, global);
        gradients(sizes.positions(), local, 4 * local);
        gradients(sizes.positions(), 4 * local, local);
        gradients(sizes.positions(), local, model.vocabularySize());
    }

    private static String product(long rows, long in, long out) {
        return rows + " x " + in + " -> " + out;
    }

    /** With bias and residual where the model has them; the residual is added in place. */
    private void linear(long rows, int in, int out, boolean bias) {
        boolean residual = bias && in == 4 * out;
        String words = product(rows, in, out) + (bias ? ", bias" : "") + (residual ? ", residual" : "");
        add("linear", words, p -> {
            Tensor x = p.values(dtype, rows, in);
            Tensor weight = p.values(dtype, out, in);
            Tensor b = bias ? p.values(dtype, out) : null;
            Tensor addend = residual ? p.values(dtype, rows, out) : null;
            Tensor result = p.empty(dtype, rows, out);
            return KernelCase.Call.of(ops -> ops.linear(x, weight, b, addend, result));
        });
    }

    /** The pre-activation is written beside the activation. */
    private void linearGelu(long rows, int width) {
        int wide = 4 * width;
        add("linearGelu", product(rows, width, wide), p -> {
            Tensor x = p.values(dtype, rows, width);
            Tensor weight = p.values(dtype, wide, width);
            Tensor bias = p.values(dtype, wide);
            Tensor pre = p.empty(dtype, rows, wide);
            Tensor activated = p.empty(dtype, rows, wide);
            return KernelCase.Call.of(ops -> ops.linearGelu(x, weight, bias, pre, activated));
        });
    }

    private void gradients(long rows, int in, int out) {
        add("linearInputGradient", product(rows, in, out), p -> {
            Tensor dOut = p.values(dtype, rows, out);
            Tensor weight = p.values(dtype, out, in);
            Tensor dX = p.empty(dtype, rows, in);
            return KernelCase.Call.of(ops -> ops.linearInputGradient(dOut, weight, null, dX));
        });
        add("linearWeightGradient", product(rows, in, out) + ", bias", p -> {
            Tensor x = p.values(dtype, rows, in);
            Tensor dOut = p.values(dtype, rows, out);
            Tensor dWeight = p.empty(out, in);
            Tensor dBias = p.empty(out);
            return KernelCase.Call.of(ops -> ops.linearWeightGradient(x, dOut, dWeight, dBias));
        });
    }

    // ---- LayerNorm -------------------------------------------------------------------------------------------------

    private void normalisations() {
        layerNorm(sizes.patches(), model.globalSize());
        layerNorm(sizes.positions(), model.localSize());
    }

    private void layerNorm(long rows, int dim) {
        add("layerNorm", rows(rows, dim), p -> {
            Tensor x = p.values(dtype, rows, dim);
            Tensor weight = p.values(dtype, dim);
            Tensor bias = p.values(dtype, dim);
            Tensor out = p.empty(dtype, rows, dim);
            Tensor mean = p.empty(rows);
            Tensor rstd = p.empty(rows);
            return KernelCase.Call.of(ops -> ops.layerNorm(x, weight, bias, out, mean, rstd));
        });
        add("layerNormAgain", rows(rows, dim), p -> {
            Tensor x = p.values(dtype, rows, dim);
            Tensor weight = p.values(dtype, dim);
            Tensor bias = p.values(dtype, dim);
            Tensor out = p.empty(dtype, rows, dim);
            Tensor mean = p.values(rows);
            Tensor rstd = p.values(rows);
            return KernelCase.Call.of(ops -> ops.layerNormAgain(x, weight, bias, mean, rstd, out));
        });
        add("layerNormBackward", rows(rows, dim) + ", residual", p -> {
            Tensor x = p.values(dtype, rows, dim);
            Tensor dOut = p.values(dtype, rows, dim);
            Tensor dResidual = p.values(dtype, rows, dim);
            Tensor weight = p.values(dtype, dim);
            Tensor mean = p.values(rows);
            Tensor rstd = p.values(rows);
            Tensor dX = p.empty(dtype, rows, dim);
            Tensor dWeight = p.empty(dim);
            Tensor dBias = p.empty(dim);
            return KernelCase.Call.of(ops -> ops.layerNormBackward(dOut, x, weight, mean, rstd, dResidual, dX, dWeight,
                    dBias));
        });
    }

    // ---- attention -------------------------------------------------------------------------------------------------

    private void attentions() {
        int heads = model.globalHeads();
        long patches = sizes.length() / model.patchSize();
        attention(new AttentionShape(sizes.batch(), patches, heads, 1, model.globalHeadSize()));
        for (int length : sizes.attention()) {
            attention(new AttentionShape(1, length, heads, 1, model.globalHeadSize()));
        }
        attention(new AttentionShape(sizes.patches(), model.patchSize(), model.localHeads(), 1, model.localHeadSize()));
    }

    private static String words(AttentionShape shape) {
        return shape.batch() + " x " + shape.length() + ", " + shape.heads() + " heads of " + shape.headSize();
    }

    private void attention(AttentionShape shape) {
        add("causalAttention", words(shape), p -> {
            Tensor qkv = p.values(dtype, shape.rows(), shape.packedWidth());
            Tensor out = p.empty(dtype, shape.rows(), shape.width());
            Tensor lse = p.empty(shape.batch(), shape.heads(), shape.length());
            return KernelCase.Call.of(ops -> ops.causalAttention(shape, qkv, BIAS, out, lse));
        });
        add("causalAttentionBackward", words(shape), p -> {
            Tensor qkv = p.values(dtype, shape.rows(), shape.packedWidth());
            Tensor out = p.empty(dtype, shape.rows(), shape.width());
            Tensor lse = p.empty(shape.batch(), shape.heads(), shape.length());
            Tensor dOut = p.values(dtype, shape.rows(), shape.width());
            Tensor dQkv = p.empty(dtype, shape.rows(), shape.packedWidth());
            return new KernelCase.Call(ops -> ops.causalAttention(shape, qkv, BIAS, out, lse),
                    ops -> ops.causalAttentionBackward(shape, qkv, BIAS, out, lse, dOut, dQkv));
        });
    }

    // ---- layers of the local model at once, only in bf16 -----------------------------------------------------------

    private void layersAtOnce() {
        if (dtype != DType.BF16) {
            return;
        }
        String words = sizes.positions() + " x " + LayersAtOnce.width(model);
        add("feedForward", words, p -> new LayersAtOnce(p, model, sizes.patches()).feedForward());
        add("feedForwardBackward", words, p -> new LayersAtOnce(p, model, sizes.patches()).feedForwardBackward());
        add("selfAttention", words, p -> new LayersAtOnce(p, model, sizes.patches()).selfAttention());
        add("selfAttentionBackward", words, p -> new LayersAtOnce(p, model, sizes.patches()).selfAttentionBackward());
    }

    // ---- generation ------------------------------------------------------------------------------------------------

    private void generation() {
        int patches = (int) (sizes.length() / model.patchSize());
        cachedAttention(new AttentionShape(sizes.batch(), 1, model.globalHeads(), 1, model.globalHeadSize()), patches);
        cachedAttention(new AttentionShape(1, 1, model.globalHeads(), 1, model.globalHeadSize()), sizes.context());
        cachedAttention(new AttentionShape(sizes.batch(), 1, model.localHeads(), 1, model.localHeadSize()),
                model.patchSize());
        sample(Math.toIntExact(sizes.batch()), model.vocabularySize());
        nextPatch(Math.toIntExact(sizes.batch()), model.patchSize());
        decodePatch(1);
        decodePatch(2 * Math.toIntExact(sizes.batch()));
    }

    /** The last position of a full cache. */
    private void cachedAttention(AttentionShape shape, int capacity) {
        int past = capacity - 1;
        add("cachedAttention", words(shape) + ", cache of " + capacity, p -> {
            int[] held = new int[Math.toIntExact(shape.batch())];
            Arrays.fill(held, past);
            Tensor qkv = p.values(dtype, shape.rows(), shape.packedWidth());
            Tensor cache = p.values(dtype, shape.batch(), capacity, shape.keyValueWidth());
            Tensor pasts = p.of(held);
            Tensor out = p.empty(dtype, shape.rows(), shape.width());
            return KernelCase.Call.of(ops -> ops.cachedAttention(shape, qkv, BIAS, cache, pasts, out));
        });
    }

    /** Logits and what is allowed are read, the bits of seen ids read and written. F32 in any case. */
    private void sample(int batch, int vocabulary) {
        if (dtype != DType.F32) {
            return;
        }
        int words = Math.ceilDiv(vocabulary, 32);
        add("sample", rows(batch, vocabulary) + ", top-p 0.9", p -> {
            int[] all = new int[vocabulary];
            Arrays.fill(all, 1);
            int[] known = new int[batch];
            Arrays.fill(known, -1);
            Tensor logits = p.values(batch, vocabulary);
            Tensor settings = p.of(new SamplingSettings(0.8, 0, 0.9, 1, 1).toInts());
            Tensor allowed = p.of(all);
            Tensor numbers = p.of(new int[batch]);
            Tensor positions = p.of(new int[batch]);
            Tensor forced = p.of(known);
            Tensor seen = p.empty(DType.I32, batch, words);
            Tensor chosen = p.empty(DType.I32, batch);
            Tensor faults = p.empty(DType.I32, batch);
            return KernelCase.Call.of(ops -> ops.sample(logits, settings, allowed, numbers, positions, forced, seen,
                    chosen, faults));
        });
    }

    private void nextPatch(int batch, int patch) {
        if (dtype != DType.F32) {
            return;
        }
        add("nextPatch", batch + " x " + patch, p -> {
            Tensor results = p.empty(DType.I32, patch, 2, batch);
            PatchInput input = new PatchInput(p.empty(DType.I32, batch, patch), p.empty(DType.I32, batch, patch),
                    p.empty(DType.I32, batch), p.empty(DType.I32, patch, batch), p.empty(DType.I32, patch, batch),
                    p.empty(DType.I32, batch));
            return KernelCase.Call.of(ops -> ops.nextPatch(results, Integer.MAX_VALUE, true, input));
        });
    }

    /** Only in bf16, where one kernel does it; beside it the same operation by operation. */
    private void decodePatch(int batch) {
        if (dtype != DType.BF16) {
            return;
        }
        String words = batch + " x " + model.patchSize() + " bytes, " + model.localLayers() + " layers of "
                + model.localSize();
        add("decodePatch", words, p -> new PatchDecoding(p, model, batch).atOnce());
        add("decodePatch operation by operation", words, p -> new PatchDecoding(p, model, batch).byteByByte(p));
    }

    // ---- loss ------------------------------------------------------------------------------------------------------

    private void loss() {
        long rows = sizes.positions();
        int vocabulary = model.vocabularySize();
        add("countTargets", Long.toString(rows), p -> {
            Tensor ids = ids(p);
            Tensor count = p.empty(DType.I32, 1);
            return KernelCase.Call.of(ops -> ops.countTargets(ids, model.padId(), count));
        });
        add("softmaxCrossEntropy", rows(rows, vocabulary) + ", gradient", p -> {
            Tensor logits = p.values(dtype, rows, vocabulary);
            Tensor targets = ids(p);
            Tensor count = p.of(Math.toIntExact(rows));
            Tensor sum = p.empty(1);
            Tensor dLogits = p.empty(dtype, rows, vocabulary);
            return KernelCase.Call.of(ops -> ops.softmaxCrossEntropy(logits, targets.view(rows), model.padId(), count,
                    sum, dLogits, 1));
        });
    }

    // ---- optimisers, over all parameters ---------------------------------------------------------------------------

    private void optimisers() {
        ParameterLayout layout = ModelLayout.of(model);
        boolean[] decays = new boolean[layout.entries().size()];
        for (int i = 0; i < decays.length; i++) {
            decays[i] = layout.entries().get(i).decayed();
        }
        long count = layout.elements();
        String words = count + " parameters";
        boolean copy = dtype == DType.BF16;    // of the weights, written beside
        add("norm", words, p -> {
            Tensor gradients = p.values(count);
            Tensor norm = p.empty(1);
            return KernelCase.Call.of(ops -> ops.norm(gradients, norm));
        });
        var adam = new Ops.AdamWSettings(0.9, 0.95, 1e-8, 0.1);
        add("adamW", words + ", clipped", p -> {
            Arenas of = new Arenas(p, count, copy);
            Tensor first = p.empty(count);
            Tensor second = p.empty(count);
            return KernelCase.Call.of(ops -> ops.adamW(adam, layout, decays, of.scalars, of.clip, of.parameters,
                    of.copy, of.gradients, first, second));
        });
        var factored = new Ops.AdafactorSettings(1e-30f, 1e-3f, 1, true, 0.1f, false);
        add("adafactor", words + ", clipped", p -> {
            Arenas of = new Arenas(p, count, copy);
            Tensor state = p.empty(Ops.adafactorStateElements(layout));
            return KernelCase.Call.of(ops -> ops.adafactor(factored, layout, decays, of.scalars, of.clip, of.parameters,
                    of.copy, of.gradients, state));
        });
        add("anyPrecisionAdamW", words + ", clipped, state bf16", p -> {
            Arenas of = new Arenas(p, count, copy);
            Tensor first = p.empty(DType.BF16, count);
            Tensor second = p.empty(DType.BF16, count);
            Tensor compensation = p.empty(DType.BF16, count);
            return KernelCase.Call.of(ops -> ops.anyPrecisionAdamW(adam, layout, decays, of.scalars, of.clip,
                    of.parameters, of.copy, of.gradients, first, second, compensation));
        });
    }

    /** What all optimisers work on. */
    private static final class Arenas {
        final Tensor scalars;
        final Ops.Clip clip;
        final Tensor parameters;
        final Tensor gradients;
        final Tensor copy;

        Arenas(Program p, long count, boolean hasCopy) {
            scalars = p.of(StepScalars.of(1e-4f, 1, 1, 0.99f));
            clip = new Ops.Clip(p.of(2f), 1);
            parameters = p.values(count);
            gradients = p.values(count);
            copy = hasCopy ? p.empty(DType.BF16, count) : null;
        }
    }
}
