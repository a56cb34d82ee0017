package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.function.Function;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.LocalWeights;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.PatchChoice;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** The local model over a patch in one launch, {@code kernels/local_decode.cu}. */
final class LocalDecodeKernels {
    private static final int THREADS = 512;
    private static final int WARPS = THREADS / 32;
    /** Sequences of a cluster: the columns of an mma. */
    private static final int MOST_ROWS = 8;
    /** Bytes of a patch: a lane for each in the softmax. */
    private static final int MOST_POSITIONS = 32;
    private static final int PARTIAL_STRIDE = 20;
    /** Outputs of a product that a warp computes at a time. */
    private static final int TILE = 16;
    /** What rows of products must be a multiple of: inputs that a warp takes at a time. */
    private static final int CHUNK = 32;
    private static final int PACK = 8;
    private static final int LARGEST_CLUSTER = 16;
    /** Of every GPU with clusters; larger ones may find no room. */
    private static final int PORTABLE_CLUSTER = 8;
    /** Shared memory of fixed size, and what the driver takes of each block's. */
    private static final int OTHER_SHARED_BYTES = 2 << 10;
    /**
     * All weights are read for every byte, so they should stay in the second-level cache: 50 MB in an H100 or H200.
     * Beyond it a cluster, which reads through the few multiprocessors it has, is too slow.
     */
    private static final long MOST_WEIGHT_BYTES = 40L << 20;
    /**
     * What all clusters may read for a byte. Operation by operation the weights are read once for the whole batch, in
     * some ten launches of 2.5 microseconds for each layer, in which the second-level cache could give so much.
     */
    private static final long MOST_READ_BYTES = 512L << 20;

    private static final List<Function<LocalWeights.Layer, Tensor>> WEIGHTS = List.of(
            LocalWeights.Layer::attentionNormWeight, LocalWeights.Layer::attentionNormBias, LocalWeights.Layer::qkv,
            LocalWeights.Layer::out, LocalWeights.Layer::feedForwardNormWeight, LocalWeights.Layer::feedForwardNormBias,
            LocalWeights.Layer::expand, LocalWeights.Layer::expandBias, LocalWeights.Layer::contract,
            LocalWeights.Layer::contractBias);

    private final KernelLoader loader;
    private final Map<Shape, Division> divisions = new HashMap<>();
    private Kernel decode;

    LocalDecodeKernels(KernelLoader loader) {
        this.loader = loader;
    }

    /** What a division depends on. */
    private record Shape(long batch, int patch, int layers, int dim, int heads, int headSize, int vocabulary) {
        static Shape of(LocalWeights model, long batch, int patch) {
            return new Shape(batch, patch, model.layers().size(), model.dim(), model.heads(), model.headSize(),
                    model.vocabulary());
        }
    }

    /**
     * How a launch is divided.
     *
     * @param rows        sequences of a cluster
     * @param cluster     blocks that share a cluster's work
     * @param sharedBytes dynamic shared memory of a block
     */
    record Division(int rows, int cluster, int sharedBytes) {
        long clusters(long batch) {
            return Math.ceilDiv(batch, (long) rows);
        }
    }

    /** Whether {@link #decodePatch} computes this model, and is likely to be faster than operation by operation. */
    boolean fits(LocalWeights model, long batch, int patchSize) {
        CudaDevice device = loader.context().device();
        int head = model.headSize();
        int dim = model.dim();
        return device.major() == 9 && device.minor() == 0 && model.table().dtype() == DType.BF16
                && dim % CHUNK == 0 && head % PACK == 0 && model.heads() * head % CHUNK == 0
                && model.heads() * head <= dim && patchSize <= MOST_POSITIONS
                && model.vocabulary() <= SamplingKernels.LARGEST_VOCABULARY
                && model.matrixBytes() <= MOST_WEIGHT_BYTES && distance(model).isPresent()
                && isFast(model, batch, division(model, batch, patchSize));
    }

    private static boolean isFast(LocalWeights model, long batch, Division division) {
        return division != null && division.clusters(batch) * model.matrixBytes() <= MOST_READ_BYTES;
    }

    /**
     * Prepares for a model, in the dry run.
     *
     * @throws ShapeException if it is none that {@link #fits}
     */
    void require(LocalWeights model, PatchChoice choice) {
        long batch = choice.previous().elements();
        int patch = Math.toIntExact(choice.forced().rows());
        if (!fits(model, batch, patch)) {
            throw new ShapeException("a local model of width " + model.dim() + " with " + model.heads() + " heads of "
                    + model.headSize() + ", " + model.table().dtype() + ", and patches of " + patch
                    + " bytes cannot be decoded at one go; decode it byte by byte");
        }
    }

    /** Null if a block has not enough shared memory. */
    Division division(LocalWeights model, long batch, int patchSize) {
        return divisions.computeIfAbsent(Shape.of(model, batch, patchSize), this::divide);
    }

    /** Few clusters of many blocks where the batch leaves room for them, since they read weights from more places. */
    private Division divide(Shape shape) {
        int shared = loader.context().device().sharedBytesPerBlock() - OTHER_SHARED_BYTES;
        int useful = Integer.highestOneBit(shape.dim() / TILE);
        for (int most = (int) Math.min(MOST_ROWS, shape.batch()); most >= 1; most--) {
            // As many in each cluster, or one less.
            int rows = (int) Math.ceilDiv(shape.batch(), Math.ceilDiv(shape.batch(), (long) most));
            Division possible = null;
            for (int cluster = Math.min(LARGEST_CLUSTER, useful); cluster >= 1; cluster /= 2) {
                int bytes = sharedBytes(shape, rows, cluster);
                Division division = new Division(rows, cluster, bytes);
                int active = bytes > shared ? 0 : activeClusters(division);
                if (active >= division.clusters(shape.batch())) {
                    return division;
                }
                if (active > 0 && possible == null && cluster <= PORTABLE_CLUSTER) {
                    possible = division;    // in several waves
                }
            }
            if (possible != null) {
                return possible;
            }
        }
        return null;
    }

    private int activeClusters(Division division) {
        return decode().grid(division.cluster()).block(THREADS).shared(division.sharedBytes())
                .cluster(division.cluster()).activeClusters();
    }

    private Kernel decode() {
        if (decode == null) {
            decode = loader.module("local_decode").kernel("local_decode_bf16", PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR,
                    PTR, PTR, PTR, PTR, PTR, I64, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, PTR, I32, I32, I32, I32,
                    I32, I32, I32, I32, I32, I32, F32);
            decode.maxDynamicShared(loader.context().device().sharedBytesPerBlock() - OTHER_SHARED_BYTES);
            decode.largeClusters();
        }
        return decode;
    }

    /** {@link Ops#decodePatch}. */
    void decodePatch(LocalWeights model, Tensor slices, PatchChoice choice, Tensor logits) {
        long batch = choice.previous().elements();
        int patch = Math.toIntExact(choice.forced().rows());
        Division division = division(model, batch, patch);
        LocalWeights.Layer layer = model.layers().getFirst();
        decode().grid(division.clusters(batch) * division.cluster()).block(THREADS).shared(division.sharedBytes())
                .cluster(division.cluster())
                .arg(slices).arg(model.table()).arg(choice.previous())
                .arg(layer.attentionNormWeight()).arg(layer.attentionNormBias()).arg(layer.qkv()).arg(layer.out())
                .arg(layer.feedForwardNormWeight()).arg(layer.feedForwardNormBias())
                .arg(layer.expand()).arg(layer.expandBias()).arg(layer.contract()).arg(layer.contractBias())
                .arg(distance(model).orElseThrow()).arg(model.headWeight()).arg(model.headBias())
                .arg(choice.settings()).arg(choice.allowed()).arg(choice.sequences()).arg(choice.positions())
                .arg(choice.forced()).arg(choice.seen()).arg(choice.results()).arg(logits)
                .arg(Math.toIntExact(batch)).arg(division.rows()).arg(patch).arg(model.layers().size())
                .arg(model.dim()).arg(model.heads()).arg(model.headSize()).arg(model.vocabulary())
                .arg(SamplingKernels.sorted(model.vocabulary())).arg(model.bias() == AttentionBias.ALIBI ? 1 : 0)
                .arg(Ops.LAYER_NORM_EPSILON).launch();
    }

    /** Elements from a layer's weights to those of the next; empty if they are not the same for all. */
    private static OptionalLong distance(LocalWeights model) {
        List<LocalWeights.Layer> layers = model.layers();
        if (layers.size() == 1) {
            return OptionalLong.of(0);
        }
        OptionalLong first = layers.get(0).qkv().distanceTo(layers.get(1).qkv());
        for (int i = 1; i < layers.size(); i++) {
            for (Function<LocalWeights.Layer, Tensor> weight : WEIGHTS) {
                if (!weight.apply(layers.get(i - 1)).distanceTo(weight.apply(layers.get(i))).equals(first)) {
                    return OptionalLong.empty();
                }
            }
        }
        return first.isPresent() && first.getAsLong() % PACK == 0 ? first : OptionalLong.empty();
    }

    /** What {@code Memory} of {@code local_decode/memory.cuh} takes. */
    private static int sharedBytes(Shape shape, int rows, int cluster) {
        int vocabulary = shape.vocabulary();
        int layers = shape.layers();
        int dim = shape.dim();
        return rounded(WARPS * MOST_ROWS * PARTIAL_STRIDE * Float.BYTES)
                + rounded(WARPS * MOST_POSITIONS * Float.BYTES)
                + rounded(Long.BYTES * (SamplingKernels.sorted(vocabulary) + (3 * vocabulary + 1) / 2))
                + rounded(Math.ceilDiv(rows, cluster) * vocabulary * Float.BYTES)
                + rounded(MOST_ROWS * Integer.BYTES)
                + rounded(Short.BYTES * layers * 9 * dim)
                + rounded(Short.BYTES * vocabulary)
                + 3 * rounded(Short.BYTES * rows * stride(dim))
                + rounded(Short.BYTES * rows * stride(4 * dim))
                + rounded(Short.BYTES * layers * shape.patch() * rows * 2 * shape.headSize());
    }

    private static int stride(int columns) {
        return Math.ceilDiv(columns, 64) * 64 + 32;
    }

    private static int rounded(int bytes) {
        return Math.ceilDiv(bytes, 16) * 16;
    }
}
