package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * One product of cuBLASLt, column-major: {@code D = alpha op(A) op(B) + beta C + bias}, float32 accumulation, C laid
 * out as D and possibly D itself, {@code bias} added to each column. Everything the library needs to know of it is made
 * once; {@link #run} then only enqueues, and makes no garbage.
 *
 * <p>The epilogue is the library's bias. Its GELU is not used: it is the tanh form.
 */
public final class CublasLtMatmul implements AutoCloseable {
    // cudaDataType, cublasComputeType_t, cublasOperation_t
    static final int CUDA_R_32F = 0;
    static final int CUDA_R_16BF = 14;
    private static final int CUBLAS_COMPUTE_32F = 68;
    private static final int CUBLAS_OP_T = 1;
    // cublasLtMatmulDescAttributes_t
    private static final int CUBLASLT_MATMUL_DESC_TRANSA = 3;
    private static final int CUBLASLT_MATMUL_DESC_TRANSB = 4;
    private static final int CUBLASLT_MATMUL_DESC_EPILOGUE = 7;
    private static final int CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8;
    private static final int CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE = 26;
    // cublasLtEpilogue_t
    private static final int CUBLASLT_EPILOGUE_BIAS = 4;
    // cublasLtMatmulPreferenceAttributes_t
    private static final int CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1;
    private static final int CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3;
    private static final int CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5;
    private static final int CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6;
    private static final int CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7;
    private static final int CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8;
    private static final int CUBLASLT_MATMUL_PREF_IMPL_MASK = 12;
    // cublasLtReductionScheme_t
    private static final int CUBLASLT_REDUCTION_SCHEME_NONE = 0;
    private static final int CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2;
    // cublasLtNumericalImplFlags_t
    private static final long CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32 = 0x04L << 16;
    // cublasLtMatmulAlgoConfigAttributes_t
    private static final int CUBLASLT_ALGO_CONFIG_ID = 0;
    private static final int CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME = 3;
    // cublasLtMatmulHeuristicResult_t: the algorithm, then size_t workspaceSize, then cublasStatus_t state
    private static final long RESULT_BYTES = 96;
    private static final long ALGORITHM_BYTES = 64;
    private static final long WORKSPACE_AT = 64;
    private static final long STATE_AT = 72;

    /** Types of elements. */
    public enum Type {
        F32(CUDA_R_32F), BF16(CUDA_R_16BF);

        private final int value;

        Type(int value) {
            this.value = value;
        }
    }

    /**
     * A matrix as it lies in memory, column-major and without gaps.
     *
     * @param alignment bytes of which every address that it will lie at is a multiple, a power of two
     */
    public record Operand(Type type, long rows, long columns, int alignment) { }

    /** A way to compute it, offered by the library. Lives as long as the product. */
    public static final class Algorithm {
        private final MemorySegment value;
        private final long workspaceBytes;
        private final int id;

        private Algorithm(MemorySegment value, long workspaceBytes, int id) {
            this.value = value;
            this.workspaceBytes = workspaceBytes;
            this.id = id;
        }

        /** The library's number for the kind of algorithm. */
        public int id() {
            return id;
        }

        /** How much workspace it takes. */
        public long workspaceBytes() {
            return workspaceBytes;
        }

        /** {@code cublasLtMatmulAlgo_t}, eight words; the same algorithm has the same words in the same version. */
        public long[] words() {
            return value.toArray(JAVA_LONG);
        }
    }

    private final CublasLt library;
    private final Arena memory = Arena.ofConfined();
    private final MemorySegment scalars = memory.allocate(JAVA_FLOAT, 2);
    private final MemorySegment biasPointer = memory.allocate(JAVA_LONG);
    private final long alphaAt = scalars.address();
    private final long betaAt = alphaAt + Float.BYTES;
    private final Operand a;
    private final Operand b;
    private final Operand d;
    private final int addendAlignment;
    private final int biasAlignment;
    private long description;
    private long aLayout;
    private long bLayout;
    private long dLayout;
    private boolean open = true;

    /**
     * @param a               stored {@code [k, m]} if it is transposed, else {@code [m, k]}
     * @param b               stored {@code [n, k]} if it is transposed, else {@code [k, n]}
     * @param d               {@code [m, n]}
     * @param addendAlignment as {@link Operand#alignment}, for C
     * @param biasAlignment   the same for the bias, which has D's type; 0 for a product without bias
     * @throws CublasException if the library refuses
     */
    public CublasLtMatmul(CublasLt library, boolean transposeA, boolean transposeB, Operand a, Operand b, Operand d,
            int addendAlignment, int biasAlignment) {
        this.library = library;
        this.a = a;
        this.b = b;
        this.d = d;
        this.addendAlignment = addendAlignment;
        this.biasAlignment = biasAlignment;
        try {
            description = library.descriptionCreate(CUBLAS_COMPUTE_32F, CUDA_R_32F);
            aLayout = layout(a);
            bLayout = layout(b);
            dLayout = layout(d);
            if (transposeA) {
                describe(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
            }
            if (transposeB) {
                describe(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_T);
            }
            if (biasAlignment != 0) {
                describe(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
                describe(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, d.type().value);
            }
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    private long layout(Operand operand) {
        return library.layoutCreate(operand.type().value, operand.rows(), operand.columns(), operand.rows());
    }

    private void describe(int attribute, int value) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment at = call.allocateFrom(JAVA_INT, value);
            library.descriptionSet(description, attribute, at.address(), Integer.BYTES);
        }
    }

    /**
     * What the library offers, the one that it takes for the fastest first. All give the same bits each time: none of
     * them adds partial sums in place, or in another type than float32. For float32 none rounds its input to TF32.
     *
     * @param most           how many are wanted
     * @param workspaceBytes how much workspace they may take
     * @throws CublasException if there is none
     */
    public List<Algorithm> algorithms(int most, long workspaceBytes) {
        try (Arena call = Arena.ofConfined()) {
            MemorySegment results = call.allocate(RESULT_BYTES * most, Long.BYTES);
            if (biasAlignment != 0) {
                // Not read: the heuristics look at the pointer for its alignment alone.
                setBias(biasAlignment);
            }
            int count;
            long preference = library.preferenceCreate();
            try {
                prefer(call, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspaceBytes);
                prefer(call, preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
                if (a.type() == Type.F32) {
                    // Not even where NVIDIA_TF32_OVERRIDE asks for it.
                    prefer(call, preference, CUBLASLT_MATMUL_PREF_IMPL_MASK,
                            ~CUBLASLT_NUMERICAL_IMPL_FLAGS_INPUT_TF32);
                }
                prefer(call, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, a.alignment());
                prefer(call, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, b.alignment());
                prefer(call, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, addendAlignment);
                prefer(call, preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, d.alignment());
                count = library.heuristic(description, aLayout, bLayout, dLayout, dLayout, preference, most, results);
            } finally {
                library.preferenceDestroy(preference);
            }
            List<Algorithm> found = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                MemorySegment result = results.asSlice(i * RESULT_BYTES, RESULT_BYTES);
                MemorySegment value = result.asSlice(0, ALGORITHM_BYTES);
                if (result.get(JAVA_INT, STATE_AT) == CublasStatus.CUBLAS_STATUS_SUCCESS && repeatable(value)) {
                    found.add(new Algorithm(memory.allocate(ALGORITHM_BYTES, Long.BYTES).copyFrom(value),
                            result.get(JAVA_LONG, WORKSPACE_AT),
                            library.algorithmAttribute(value, CUBLASLT_ALGO_CONFIG_ID)));
                }
            }
            if (found.isEmpty()) {
                throw new CublasException("cuBLASLt", "cublasLtMatmulAlgoGetHeuristic",
                        CublasStatus.CUBLAS_STATUS_NOT_SUPPORTED);
            }
            return found;
        }
    }

    /** Again, whatever the preference was: a mask that a version does not heed must not cost determinism. */
    private boolean repeatable(MemorySegment algorithm) {
        int scheme = library.algorithmAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME);
        return scheme == CUBLASLT_REDUCTION_SCHEME_NONE || scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    }

    private void prefer(Arena call, long preference, int attribute, int value) {
        library.preferenceSet(preference, attribute, call.allocateFrom(JAVA_INT, value).address(), Integer.BYTES);
    }

    private void prefer(Arena call, long preference, int attribute, long value) {
        library.preferenceSet(preference, attribute, call.allocateFrom(JAVA_LONG, value).address(), Long.BYTES);
    }

    private void setBias(long address) {
        biasPointer.set(JAVA_LONG, 0, address);
        library.descriptionSet(description, CUBLASLT_MATMUL_DESC_BIAS_POINTER, biasPointer.address(), Long.BYTES);
    }

    /**
     * Enqueues the product. All addresses are the device's and aligned as was promised.
     *
     * @param algorithm one of {@link #algorithms}
     * @param c         added {@code beta} times; any address, such as {@code d}, if {@code beta} is 0
     * @param bias      not looked at in a product without bias
     * @param workspace at least {@link Algorithm#workspaceBytes}, at a multiple of 256
     * @param stream    a {@code CUstream}
     */
    public void run(Algorithm algorithm, float alpha, long a, long b, float beta, long c, long d, long bias,
            long workspace, long stream) {
        scalars.set(JAVA_FLOAT, 0, alpha);
        scalars.set(JAVA_FLOAT, Float.BYTES, beta);
        if (biasAlignment != 0) {
            setBias(bias);
        }
        library.matmul(description, alphaAt, a, aLayout, b, bLayout, betaAt, c, dLayout, d, dLayout,
                algorithm.value.address(), workspace, algorithm.workspaceBytes, stream);
    }

    /** Closing twice is harmless. */
    @Override
    public void close() {
        if (!open) {
            return;
        }
        open = false;
        try {
            destroyLayout(dLayout);
            destroyLayout(bLayout);
            destroyLayout(aLayout);
            if (description != 0) {
                library.descriptionDestroy(description);
            }
        } finally {
            memory.close();
        }
    }

    private void destroyLayout(long layout) {
        if (layout != 0) {
            library.layoutDestroy(layout);
        }
    }
}
