package org.megabyte4j.backend.cuda;

/**
 * The kernels of a backend, a class for each file, made when they are first asked for: a dry run asks for those that a
 * program needs, so that only these are compiled by the driver, and before the first step.
 */
final class CudaKernels {
    private final KernelLoader loader;
    private final Blas blas;
    private final Tuning tuning;
    private final Tuner tuner;
    private LayerNormKernels layerNorm;
    private GeluKernels gelu;
    private FeedForwardKernels feedForward;
    private EmbeddingKernels embedding;
    private CrossEntropyKernels crossEntropy;
    private ElementwiseKernels elementwise;
    private OptimizerKernels optimizer;
    private PatchAttentionKernels patchAttention;
    private LocalAttentionKernels localAttention;
    private SelfAttentionKernels selfAttention;
    private CachedAttentionKernels cachedAttention;
    private SamplingKernels sampling;
    private LocalDecodeKernels localDecode;
    private NextPatchKernels nextPatch;
    private LinearOps linear;
    private Blas.Opened products;

    /**
     * @param blas   which library computes matrix products; it is opened when the first is asked for
     * @param tuning whether that library's algorithms are measured
     * @param tuner  chooses among kernels
     */
    CudaKernels(KernelLoader loader, Blas blas, Tuning tuning, Tuner tuner) {
        this.loader = loader;
        this.blas = blas;
        this.tuning = tuning;
        this.tuner = tuner;
    }

    /** Of the library for matrix products. */
    Tuning tuning() {
        return tuning;
    }

    Tuner tuner() {
        return tuner;
    }

    /** Makes the choices of the programs that were planned so far, by measuring where that is needed. */
    void decide() {
        products().gemm().decide();
        tuner.decide();
    }

    KernelLoader loader() {
        return loader;
    }

    LayerNormKernels layerNorm() {
        if (layerNorm == null) {
            layerNorm = new LayerNormKernels(loader);
        }
        return layerNorm;
    }

    GeluKernels gelu() {
        if (gelu == null) {
            gelu = new GeluKernels(loader);
        }
        return gelu;
    }

    FeedForwardKernels feedForward() {
        if (feedForward == null) {
            feedForward = new FeedForwardKernels(loader);
        }
        return feedForward;
    }

    EmbeddingKernels embedding() {
        if (embedding == null) {
            embedding = new EmbeddingKernels(loader, elementwise());
        }
        return embedding;
    }

    CrossEntropyKernels crossEntropy() {
        if (crossEntropy == null) {
            crossEntropy = new CrossEntropyKernels(loader);
        }
        return crossEntropy;
    }

    ElementwiseKernels elementwise() {
        if (elementwise == null) {
            elementwise = new ElementwiseKernels(loader);
        }
        return elementwise;
    }

    OptimizerKernels optimizer() {
        if (optimizer == null) {
            optimizer = new OptimizerKernels(loader);
        }
        return optimizer;
    }

    PatchAttentionKernels patchAttention() {
        if (patchAttention == null) {
            patchAttention = new PatchAttentionKernels(loader, tuner);
        }
        return patchAttention;
    }

    LocalAttentionKernels localAttention() {
        if (localAttention == null) {
            localAttention = new LocalAttentionKernels(loader, tuner);
        }
        return localAttention;
    }

    SelfAttentionKernels selfAttention() {
        if (selfAttention == null) {
            selfAttention = new SelfAttentionKernels(loader, layerNorm());
        }
        return selfAttention;
    }

    CachedAttentionKernels cachedAttention() {
        if (cachedAttention == null) {
            cachedAttention = new CachedAttentionKernels(loader);
        }
        return cachedAttention;
    }

    SamplingKernels sampling() {
        if (sampling == null) {
            sampling = new SamplingKernels(loader);
        }
        return sampling;
    }

    LocalDecodeKernels localDecode() {
        if (localDecode == null) {
            localDecode = new LocalDecodeKernels(loader);
        }
        return localDecode;
    }

    NextPatchKernels nextPatch() {
        if (nextPatch == null) {
            nextPatch = new NextPatchKernels(loader);
        }
        return nextPatch;
    }

    LinearOps linear() {
        if (linear == null) {
            linear = new LinearOps(this, products().gemm());
        }
        return linear;
    }

    /** The library for matrix products. */
    Blas.Opened products() {
        if (products == null) {
            products = blas.open(loader.context(), this);
        }
        return products;
    }
}
