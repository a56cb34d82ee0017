package org.megabyte4j.backend;

import static java.lang.Math.exp;
import static java.lang.Math.log;
import static java.lang.Math.max;
import static java.lang.Math.sqrt;
import static org.megabyte4j.backend.ReferenceBackend.between;

import java.util.List;
import java.util.stream.IntStream;
import org.megabyte4j.backend.ReferenceBackend.View;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** {@link Ops} by their formulas, in double precision, one element after the other. */
final class ReferenceOps implements Ops {

    @Override
    public void fill(Tensor x, float value) {
        View to = View.of(x);
        for (long i = 0; i < x.elements(); i++) {
            to.set(i, value);
        }
    }

    @Override
    public void copy(Tensor from, Tensor to) {
        View a = View.of(from);
        View b = View.of(to);
        for (long i = 0; i < from.elements(); i++) {
            b.set(i, a.get(i));
        }
    }

    // ---- embeddings

    private static int seen(View ids, ByteShift shift, int padId, long index) {
        long source = shift.source(index);
        return source < 0 ? padId : ids.id(source);
    }

    @Override
    public void embed(Tensor ids, ByteShift shift, int padId, Tensor table, Tensor positions, Tensor addend,
            Tensor out) {
        long length = ids.columns();
        long dim = table.columns();
        for (long i = 0; i < ids.elements(); i++) {
            long id = seen(View.of(ids), shift, padId, i);
            for (long d = 0; d < dim; d++) {
                double sum = View.of(table).get(id * dim + d);
                sum += positions == null ? 0 : View.of(positions).get(i % length * dim + d);
                sum += addend == null ? 0 : View.of(addend).get(i * dim + d);
                View.of(out).set(i * dim + d, sum);
            }
        }
    }

    @Override
    public void embedBackward(Tensor ids, ByteShift shift, int padId, Tensor dOut, Tensor dTable, Tensor dPositions) {
        long length = ids.columns();
        long dim = dTable.columns();
        for (long i = 0; i < ids.elements(); i++) {
            long id = seen(View.of(ids), shift, padId, i);
            for (long d = 0; d < dim; d++) {
                double gradient = View.of(dOut).get(i * dim + d);
                View.of(dTable).add(id * dim + d, gradient);
                if (dPositions != null) {
                    View.of(dPositions).add(i % length * dim + d, gradient);
                }
            }
        }
    }

    // ---- linear layers

    @Override
    public void linear(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        View in = View.of(x);
        View w = View.of(weight);
        View to = View.of(out);
        long inner = weight.columns();
        long columns = weight.rows();
        for (long r = 0; r < out.elements() / columns; r++) {
            for (long c = 0; c < columns; c++) {
                double sum = bias == null ? 0 : View.of(bias).get(c);
                sum += addend == null ? 0 : View.of(addend).get(r * columns + c);
                for (long k = 0; k < inner; k++) {
                    sum += in.get(r * inner + k) * w.get(c * inner + k);
                }
                to.set(r * columns + c, sum);
            }
        }
    }

    @Override
    public void linearInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        View from = View.of(dOut);
        View w = View.of(weight);
        View to = View.of(dX);
        long inner = weight.columns();
        long columns = weight.rows();
        for (long r = 0; r < dOut.elements() / columns; r++) {
            for (long k = 0; k < inner; k++) {
                double sum = addend == null ? 0 : View.of(addend).get(r * inner + k);
                for (long c = 0; c < columns; c++) {
                    sum += from.get(r * columns + c) * w.get(c * inner + k);
                }
                to.set(r * inner + k, sum);
            }
        }
    }

    @Override
    public void linearWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        View in = View.of(x);
        View from = View.of(dOut);
        long inner = dWeight.columns();
        long columns = dWeight.rows();
        for (long r = 0; r < dOut.elements() / columns; r++) {
            for (long c = 0; c < columns; c++) {
                double gradient = from.get(r * columns + c);
                for (long k = 0; k < inner; k++) {
                    View.of(dWeight).add(c * inner + k, gradient * in.get(r * inner + k));
                }
                if (dBias != null) {
                    View.of(dBias).add(c, gradient);
                }
            }
        }
    }

    // ---- feed-forward

    @Override
    public void linearGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated) {
        linear(x, weight, bias, null, preActivation);
        for (long i = 0; i < activated.elements(); i++) {
            double value = View.of(preActivation).get(i);
            View.of(activated).set(i, value * normalCdf(value));
        }
    }

    @Override
    public void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        for (long i = 0; i < activated.elements(); i++) {
            double x = View.of(preActivation).get(i);
            double density = exp(-x * x / 2) / sqrt(2 * Math.PI);
            View.of(dX).set(i, View.of(dActivated).get(i) * (normalCdf(x) + x * density));
            View.of(activated).set(i, x * normalCdf(x));
        }
    }

    @Override
    public void feedForward(FeedForwardParameters weights, Tensor x, Tensor out, Tensor mean, Tensor rstd) {
        Tensor normed = between(x, x.dtype(), x.shape());
        Tensor hidden = between(x, x.dtype(), mean.elements(), weights.hidden());
        layerNorm(x, weights.norm(), weights.normBias(), normed, mean, rstd);
        linearGelu(normed, weights.expand(), weights.expandBias(), hidden, hidden);
        linear(hidden, weights.contract(), weights.contractBias(), x, out);
    }

    @Override
    public void feedForwardBackward(FeedForwardParameters weights, Tensor x, Tensor mean, Tensor rstd, Tensor d,
            FeedForwardFactors factors, FeedForwardParameters gradients) {
        Tensor none = between(x, DType.F32, weights.contract().shape());
        Tensor normed = factors.normed();
        copy(d, factors.dOut());
        layerNormAgain(x, weights.norm(), weights.normBias(), mean, rstd, normed);
        linear(normed, weights.expand(), weights.expandBias(), null, factors.activated());
        linearInputGradient(d, weights.contract(), null, factors.dHidden());
        geluBackward(factors.activated(), factors.dHidden(), factors.dHidden(), factors.activated());
        linearWeightGradient(factors.activated(), d, none, gradients.contractBias());
        linearWeightGradient(normed, factors.dHidden(), none.view(weights.expand().shape()), gradients.expandBias());
        Tensor dNormed = between(x, x.dtype(), x.shape());
        linearInputGradient(factors.dHidden(), weights.expand(), null, dNormed);
        layerNormBackward(dNormed, x, weights.norm(), mean, rstd, d, d, gradients.norm(), gradients.normBias());
    }

    /** By its Taylor series near zero and the continued fraction of its tail (Abramowitz and Stegun 26.2.11, 26.2.14). */
    static double normalCdf(double x) {
        double density = exp(-x * x / 2) / sqrt(2 * Math.PI);
        if (Math.abs(x) < 3) {
            double term = x;
            double sum = x;
            for (int k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k++) {
                term *= x * x / (2 * k + 1);
                sum += term;
            }
            return 0.5 + density * sum;
        }
        double fraction = 0;
        for (int k = 200; k >= 1; k--) {
            fraction = k / (Math.abs(x) + fraction);
        }
        double tail = density / (Math.abs(x) + fraction);
        return x < 0 ? tail : 1 - tail;
    }

    // ---- LayerNorm

    @Override
    public void layerNorm(Tensor x, Tensor weight, Tensor bias, Tensor out, Tensor mean, Tensor rstd) {
        long dim = weight.elements();
        for (long r = 0; r < x.elements() / dim; r++) {
            double sum = 0;
            for (long d = 0; d < dim; d++) {
                sum += View.of(x).get(r * dim + d);
            }
            double average = sum / dim;
            double squares = 0;
            for (long d = 0; d < dim; d++) {
                double difference = View.of(x).get(r * dim + d) - average;
                squares += difference * difference;
            }
            View.of(mean).set(r, average);
            View.of(rstd).set(r, 1 / sqrt(squares / dim + LAYER_NORM_EPSILON));
        }
        layerNormAgain(x, weight, bias, mean, rstd, out);
    }

    @Override
    public void layerNormAgain(Tensor x, Tensor weight, Tensor bias, Tensor mean, Tensor rstd, Tensor out) {
        long dim = weight.elements();
        for (long i = 0; i < x.elements(); i++) {
            double normed = (View.of(x).get(i) - View.of(mean).get(i / dim)) * View.of(rstd).get(i / dim);
            View.of(out).set(i, normed * View.of(weight).get(i % dim) + View.of(bias).get(i % dim));
        }
    }

    @Override
    public void layerNormBackward(Tensor dOut, Tensor x, Tensor weight, Tensor mean, Tensor rstd, Tensor dResidual,
            Tensor dX, Tensor dWeight, Tensor dBias) {
        int dim = (int) weight.elements();
        for (long r = 0; r < x.elements() / dim; r++) {
            double scale = View.of(rstd).get(r);
            double[] normed = new double[dim];
            double[] gradient = new double[dim];
            double sum = 0;
            double product = 0;
            for (int d = 0; d < dim; d++) {
                double out = View.of(dOut).get(r * dim + d);
                normed[d] = (View.of(x).get(r * dim + d) - View.of(mean).get(r)) * scale;
                gradient[d] = out * View.of(weight).get(d);
                sum += gradient[d];
                product += gradient[d] * normed[d];
                View.of(dWeight).add(d, out * normed[d]);
                View.of(dBias).add(d, out);
            }
            for (int d = 0; d < dim; d++) {
                double residual = dResidual == null ? 0 : View.of(dResidual).get(r * dim + d);
                View.of(dX).set(r * dim + d, residual + scale * (gradient[d] - sum / dim - normed[d] * product / dim));
            }
        }
    }

    // ---- attention

    /** Where heads lie in a packed row. */
    private record Packed(AttentionShape shape) {
        long query(long row, int head) {
            return row * shape.packedWidth() + (long) head * shape.headSize();
        }

        long key(long row, int head) {
            return query(row, shape.heads() + keyValueHead(head));
        }

        long value(long row, int head) {
            return query(row, shape.heads() + shape.keyValueHeads() + keyValueHead(head));
        }

        int keyValueHead(int head) {
            return head / (shape.heads() / shape.keyValueHeads());
        }
    }

    /** Probabilities of query i over keys 0..i; the last element of the result is the log-sum-exp. */
    private static double[] probabilities(AttentionShape shape, View qkv, AttentionBias bias, long sequence, int head,
            long i) {
        Packed packed = new Packed(shape);
        long first = sequence * shape.length();
        double slope = bias == AttentionBias.NONE ? 0 : Math.pow(2, -8.0 * (head + 1) / shape.heads());
        double[] scores = new double[(int) i + 2];
        double largest = Double.NEGATIVE_INFINITY;
        for (int j = 0; j <= i; j++) {
            double dot = 0;
            for (int d = 0; d < shape.headSize(); d++) {
                dot += qkv.get(packed.query(first + i, head) + d) * qkv.get(packed.key(first + j, head) + d);
            }
            scores[j] = qkv.stored(dot / sqrt(shape.headSize()) - slope * (i - j));
            largest = max(largest, scores[j]);
        }
        double sum = 0;
        for (int j = 0; j <= i; j++) {
            sum += exp(scores[j] - largest);
        }
        for (int j = 0; j <= i; j++) {
            scores[j] = qkv.stored(exp(scores[j] - largest) / sum);
        }
        scores[(int) i + 1] = largest + log(sum);
        return scores;
    }

    @Override
    public void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        View in = View.of(qkv);
        Packed packed = new Packed(shape);
        for (long b = 0; b < shape.batch(); b++) {
            for (int head = 0; head < shape.heads(); head++) {
                for (long i = 0; i < shape.length(); i++) {
                    double[] p = probabilities(shape, in, bias, b, head, i);
                    View.of(logSumExp).set((b * shape.heads() + head) * shape.length() + i, p[(int) i + 1]);
                    for (int d = 0; d < shape.headSize(); d++) {
                        double sum = 0;
                        for (int j = 0; j <= i; j++) {
                            sum += p[j] * in.get(packed.value(b * shape.length() + j, head) + d);
                        }
                        long row = b * shape.length() + i;
                        View.of(out).set(row * shape.width() + (long) head * shape.headSize() + d, sum);
                    }
                }
            }
        }
    }

    @Override
    public void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        View in = View.of(qkv);
        double[] gradient = new double[(int) dQkv.elements()];
        Packed packed = new Packed(shape);
        double scale = 1 / sqrt(shape.headSize());
        for (long b = 0; b < shape.batch(); b++) {
            for (int head = 0; head < shape.heads(); head++) {
                for (long i = 0; i < shape.length(); i++) {
                    double[] p = probabilities(shape, in, bias, b, head, i);
                    long row = b * shape.length() + i;
                    long at = row * shape.width() + (long) head * shape.headSize();
                    double[] dP = new double[(int) i + 1];
                    double mean = 0;
                    for (int j = 0; j <= i; j++) {
                        long value = packed.value(b * shape.length() + j, head);
                        for (int d = 0; d < shape.headSize(); d++) {
                            dP[j] += View.of(dOut).get(at + d) * in.get(value + d);
                            gradient[(int) value + d] += p[j] * View.of(dOut).get(at + d);
                        }
                        dP[j] = in.stored(dP[j]);
                        mean += p[j] * dP[j];
                    }
                    for (int j = 0; j <= i; j++) {
                        double dScore = in.stored(p[j] * (dP[j] - mean)) * scale;
                        long key = packed.key(b * shape.length() + j, head);
                        long query = packed.query(row, head);
                        for (int d = 0; d < shape.headSize(); d++) {
                            gradient[(int) query + d] += dScore * in.get(key + d);
                            gradient[(int) key + d] += dScore * in.get(query + d);
                        }
                    }
                }
            }
        }
        for (int i = 0; i < gradient.length; i++) {
            View.of(dQkv).set(i, gradient[i]);
        }
    }

    @Override
    public void selfAttention(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor attended, Tensor out, Tensor mean, Tensor rstd) {
        Tensor normed = between(x, x.dtype(), x.shape());
        Tensor packed = qkv != null ? qkv : between(x, x.dtype(), shape.rows(), shape.packedWidth());
        Tensor heads = attended != null ? attended : between(x, x.dtype(), shape.rows(), shape.width());
        layerNorm(x, weights.norm(), weights.normBias(), normed, mean, rstd);
        linear(normed, weights.toQkv(), null, null, packed);
        causalAttention(shape, packed, bias, heads, between(x, DType.F32, shape.rows() * shape.heads()));
        linear(heads, weights.toOut(), null, x, out);
    }

    @Override
    public void selfAttentionBackward(AttentionShape shape, AttentionParameters weights, AttentionBias bias, Tensor x,
            Tensor qkv, Tensor mean, Tensor rstd, Tensor d, AttentionFactors factors, AttentionParameters gradients) {
        copy(d, factors.dOut());
        layerNormAgain(x, weights.norm(), weights.normBias(), mean, rstd, factors.normed());
        Tensor dAttended = between(x, x.dtype(), shape.rows(), shape.width());
        linearInputGradient(d, weights.toOut(), null, dAttended);
        causalAttentionBackward(shape, qkv, bias, null, null, dAttended, factors.dQkv());
        Tensor dNormed = between(x, x.dtype(), x.shape());
        linearInputGradient(factors.dQkv(), weights.toQkv(), null, dNormed);
        layerNormBackward(dNormed, x, weights.norm(), mean, rstd, d, d, gradients.norm(), gradients.normBias());
    }

    @Override
    public void cachedAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor cache, Tensor past,
            Tensor out) {
        long capacity = cache.size(1);
        int width = shape.keyValueWidth();
        Packed packed = new Packed(shape);
        for (long b = 0; b < shape.batch(); b++) {
            int before = View.of(past).id(b);
            for (long n = 0; n < shape.length(); n++) {
                for (int d = 0; d < width; d++) {
                    View.of(cache).set((b * capacity + before + n) * width + d,
                            View.of(qkv).get(packed.key(b * shape.length() + n, 0) + d));
                }
            }
            // The whole sequence once more, with the cached keys and values; queries of the past are not looked at.
            AttentionShape whole = new AttentionShape(1, before + shape.length(), shape.heads(), shape.keyValueHeads(),
                    shape.headSize());
            double[] rows = new double[(int) (whole.rows() * whole.packedWidth())];
            for (int j = 0; j < whole.length(); j++) {
                int at = j * whole.packedWidth();
                for (int d = 0; d < width; d++) {
                    rows[at + shape.width() + d] = View.of(cache).get((b * capacity + j) * width + d);
                }
                for (int d = 0; j >= before && d < shape.width(); d++) {
                    rows[at + d] = View.of(qkv).get(packed.query(b * shape.length() + j - before, 0) + d);
                }
            }
            View all = View.of(qkv).like(rows);
            Packed wholePacked = new Packed(whole);
            for (int head = 0; head < shape.heads(); head++) {
                for (long n = 0; n < shape.length(); n++) {
                    double[] p = probabilities(whole, all, bias, 0, head, before + n);
                    for (int d = 0; d < shape.headSize(); d++) {
                        double sum = 0;
                        for (int j = 0; j <= before + n; j++) {
                            sum += p[j] * all.get(wholePacked.value(j, head) + d);
                        }
                        long row = b * shape.length() + n;
                        View.of(out).set(row * shape.width() + (long) head * shape.headSize() + d, sum);
                    }
                }
            }
        }
    }

    // ---- generation

    /** By the {@link Sampler}, which is plain enough and has tests of its own; logits are rounded to float32. */
    @Override
    public void nextPatch(Tensor results, int last, boolean seesPrevious, PatchInput input) {
        int batch = (int) input.past().elements();
        int patch = (int) input.forced().rows();
        for (int b = 0; b < batch; b++) {
            if (View.of(input.past()).id(b) < last) {
                View.of(input.past()).add(b, 1);
                for (int i = 0; i < patch; i++) {
                    int id = View.of(results).id(2L * i * batch + b);
                    View.of(input.earlier()).set((long) b * patch + i, id);
                    View.of(input.bytePositions()).add((long) b * patch + i, patch);
                    View.of(input.forced()).set((long) i * batch + b, -1);
                    View.of(input.positions()).add((long) i * batch + b, patch);
                }
                if (seesPrevious) {
                    View.of(input.previous()).set(b, View.of(results).id(2L * (patch - 1) * batch + b));
                }
            }
        }
    }

    @Override
    public void sample(Tensor logits, Tensor settings, Tensor allowed, Tensor sequences, Tensor positions,
            Tensor forced, Tensor seen, Tensor chosen, Tensor faults) {
        int vocabulary = (int) logits.columns();
        int words = (int) seen.columns();
        for (int b = 0; b < logits.rows(); b++) {
            float[] row = new float[vocabulary];
            for (int v = 0; v < vocabulary; v++) {
                row[v] = (float) View.of(logits).get((long) b * vocabulary + v);
            }
            int id = View.of(forced).id(b);
            int fault = 0;
            if (id < 0) {
                Sampler sampler = new Sampler(vocabulary);
                int[] bits = ids(seen.slice(b, 1));
                id = sampler.choose(SamplingSettings.of(ids(settings)), row, ids(allowed), bits,
                        View.of(sequences).id(b), View.of(positions).id(b));
                fault = sampler.fault();
                if (fault == 0) {
                    View.of(seen).set((long) b * words + id / 32, bits[id / 32] | 1 << id % 32);
                }
            }
            View.of(chosen).set(b, id);
            View.of(faults).set(b, fault);
        }
    }

    private static int[] ids(Tensor tensor) {
        return IntStream.range(0, (int) tensor.elements()).map(i -> View.of(tensor).id(i)).toArray();
    }

    // ---- loss

    @Override
    public void countTargets(Tensor ids, int ignoredId, Tensor count) {
        int counted = 0;
        for (long i = 0; i < ids.elements(); i++) {
            counted += View.of(ids).id(i) == ignoredId ? 0 : 1;
        }
        View.of(count).set(0, counted);
    }

    @Override
    public void softmaxCrossEntropy(Tensor logits, Tensor targets, int ignoredId, Tensor count, Tensor loss,
            Tensor dLogits, float gradientScale) {
        long vocabulary = logits.columns();
        int counted = View.of(count).id(0);
        for (long r = 0; r < targets.elements(); r++) {
            int target = View.of(targets).id(r);
            boolean ignored = target == ignoredId;
            double largest = Double.NEGATIVE_INFINITY;
            for (long v = 0; v < vocabulary; v++) {
                largest = max(largest, View.of(logits).get(r * vocabulary + v));
            }
            double sum = 0;
            for (long v = 0; v < vocabulary; v++) {
                sum += exp(View.of(logits).get(r * vocabulary + v) - largest);
            }
            if (!ignored) {
                double below = largest - View.of(logits).get(r * vocabulary + target);
                View.of(loss).add(0, (below + log(sum)) / counted);
            }
            for (long v = 0; dLogits != null && v < vocabulary; v++) {
                double p = exp(View.of(logits).get(r * vocabulary + v) - largest) / sum;
                double gradient = ignored ? 0 : (p - (v == target ? 1 : 0)) / counted * gradientScale;
                View.of(dLogits).set(r * vocabulary + v, gradient);
            }
        }
    }

    // ---- optimisers

    @Override
    public void norm(Tensor x, Tensor norm) {
        double squares = 0;
        for (long i = 0; i < x.elements(); i++) {
            squares += View.of(x).get(i) * View.of(x).get(i);
        }
        View.of(norm).set(0, sqrt(squares));
    }

    private static double factor(Clip clip) {
        return clip.norm() == null ? 1 : Math.min(1, clip.maxNorm() / (View.of(clip.norm()).get(0) + 1e-6));
    }

    @Override
    public void adamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars, Clip clip,
            Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment, Tensor secondMoment) {
        View p = View.of(parameters);
        double rate = View.of(scalars).get(0);
        List<ParameterLayout.Entry> entries = layout.entries();
        for (int e = 0; e < entries.size(); e++) {
            double decay = decays[e] ? rate * settings.weightDecay() : 0;
            for (long i = entries.get(e).offset(); i < entries.get(e).offset() + entries.get(e).elements(); i++) {
                double g = View.of(gradients).get(i) * factor(clip);
                double m = settings.beta1() * View.of(firstMoment).get(i) + (1 - settings.beta1()) * g;
                double v = settings.beta2() * View.of(secondMoment).get(i) + (1 - settings.beta2()) * g * g;
                View.of(firstMoment).set(i, m);
                View.of(secondMoment).set(i, v);
                double root = sqrt(v / View.of(scalars).get(2)) + settings.epsilon();
                p.set(i, p.get(i) * (1 - decay) - rate * m / View.of(scalars).get(1) / root);
            }
        }
        refresh(computeCopy, parameters);
    }

    /** Algorithms 4 to 6 of the paper (arXiv 1804.04235), matrix by matrix; a vector keeps all its squares. */
    @Override
    public void adafactor(AdafactorSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor state) {
        View p = View.of(parameters);
        double memory = View.of(scalars).get(3);
        List<ParameterLayout.Entry> entries = layout.entries();
        long at = 0;
        for (int e = 0; e < entries.size(); e++) {
            ParameterLayout.Entry entry = entries.get(e);
            int count = (int) entry.elements();
            boolean matrix = entry.shape().length == 2;
            int columns = matrix ? (int) entry.shape()[1] : 1;
            int rows = count / columns;
            double[] g = new double[count];
            double[] rowMeans = new double[rows];
            double[] columnMeans = new double[columns];
            double parameterSquares = 0;
            for (int i = 0; i < count; i++) {
                g[i] = View.of(gradients).get(entry.offset() + i) * factor(clip);
                rowMeans[i / columns] += (g[i] * g[i] + settings.epsilon1()) / columns;
                columnMeans[i % columns] += (g[i] * g[i] + settings.epsilon1()) / rows;
                parameterSquares += p.get(entry.offset() + i) * p.get(entry.offset() + i) / count;
            }
            double meanOfRows = 0;
            for (int r = 0; r < rows; r++) {
                rowMeans[r] = mixed(View.of(state), at++, memory, rowMeans[r]);
                meanOfRows += rowMeans[r] / rows;
            }
            for (int c = 0; matrix && c < columns; c++) {
                columnMeans[c] = mixed(View.of(state), at++, memory, columnMeans[c]);
            }
            double updateSquares = 0;
            for (int i = 0; i < count; i++) {
                g[i] /= sqrt(matrix ? rowMeans[i / columns] * columnMeans[i % columns] / meanOfRows : rowMeans[i]);
                updateSquares += g[i] * g[i] / count;
            }
            double rate = View.of(scalars).get(0)
                    * (settings.scaleParameter() ? max(settings.epsilon2(), sqrt(parameterSquares)) : 1);
            double decay = !decays[e] ? 0 : settings.dynamicWeightDecay() ? rate * rate : settings.weightDecay();
            for (int i = 0; i < count; i++) {
                double update = g[i] / max(1, sqrt(updateSquares) / settings.clipThreshold());
                p.set(entry.offset() + i, p.get(entry.offset() + i) * (1 - rate * decay) - rate * update);
            }
        }
        refresh(computeCopy, parameters);
    }

    /** Moves a running mean of the state. */
    private static double mixed(View state, long at, double memory, double value) {
        state.set(at, memory * state.get(at) + (1 - memory) * value);
        return state.get(at);
    }

    /** AdamW; what is compensated for is the rounding that there is none of here. */
    @Override
    public void anyPrecisionAdamW(AdamWSettings settings, ParameterLayout layout, boolean[] decays, Tensor scalars,
            Clip clip, Tensor parameters, Tensor computeCopy, Tensor gradients, Tensor firstMoment,
            Tensor secondMoment, Tensor compensation) {
        adamW(settings, layout, decays, scalars, clip, parameters, null, gradients, firstMoment, secondMoment);
        for (long i = 0; compensation != null && i < compensation.elements(); i++) {
            View.of(parameters).add(i, View.of(compensation).get(i));
            View.of(compensation).set(i, 0);
        }
        refresh(computeCopy, parameters);
    }

    private void refresh(Tensor computeCopy, Tensor parameters) {
        if (computeCopy != null) {
            copy(parameters, computeCopy);
        }
    }
}
