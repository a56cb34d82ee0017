package org.megabyte4j.backend.cuda;

import static org.megabyte4j.ffi.CublasStatus.CUBLAS_STATUS_SUCCESS;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasAtomicsMode;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasMath;
import jcuda.jcublas.cublasOperation;
import jcuda.runtime.cudaStream_t;
import org.megabyte4j.ffi.CublasException;
import org.megabyte4j.ffi.CublasLibrary;
import org.megabyte4j.ffi.MissingLibraryException;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Products by cuBLAS of CUDA 12 through JCublas. It chooses its algorithms itself; a bias is added by a kernel. */
final class JCublasGemm implements Gemm {
    /** Enough for every choice that cuBLAS makes on Hopper, by NVIDIA's advice. */
    private static final long WORKSPACE_BYTES = 32L << 20;
    private static final long WORKSPACE_BYTES_BEFORE_HOPPER = 4L << 20;
    private static final int HOPPER = 9;

    private final CudaContext context;
    private final CudaKernels kernels;
    private final cublasHandle handle = new cublasHandle();
    private final String version;
    private final Pointer one = scalar(1);
    private final Pointer zero = scalar(0);
    private final NativeHandles.MovingPointer first = new NativeHandles.MovingPointer();
    private final NativeHandles.MovingPointer second = new NativeHandles.MovingPointer();
    private final NativeHandles.MovingPointer result = new NativeHandles.MovingPointer();
    private final NativeHandles.MovingPointer other = new NativeHandles.MovingPointer();
    private long workspaceInUse;
    private boolean open;

    private JCublasGemm(CudaContext context, CudaKernels kernels) {
        this.context = context;
        this.kernels = kernels;
        check(JCublas2.cublasCreate(handle), "cublasCreate");
        open = true;
        try {
            int[] number = new int[1];
            check(JCublas2.cublasGetVersion(handle, number), "cublasGetVersion");
            version = CublasLtGemm.version(number[0]);
            check(JCublas2.cublasSetStream(handle, new cudaStream_t(context.compute())), "cublasSetStream");
            // No TF32, and partial sums in float32 too.
            check(JCublas2.cublasSetMathMode(handle, cublasMath.CUBLAS_DEFAULT_MATH
                    | cublasMath.CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION), "cublasSetMathMode");
            check(JCublas2.cublasSetAtomicsMode(handle, cublasAtomicsMode.CUBLAS_ATOMICS_NOT_ALLOWED),
                    "cublasSetAtomicsMode");
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** @throws MissingLibraryException if cuBLAS of CUDA 12, or JCublas for this system, is not there */
    static JCublasGemm open(CudaContext context, CudaKernels kernels) {
        context.use();
        CublasLibrary.require();
        try {
            JCublas2.setExceptionsEnabled(false);
        } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
            throw new MissingLibraryException("JCublas's native library does not load: "
                    + String.valueOf(e.getMessage()).lines().findFirst().orElse("") + "; use --blas cublaslt", e);
        }
        return new JCublasGemm(context, kernels);
    }

    private static Pointer scalar(float value) {
        return Pointer.to(ByteBuffer.allocateDirect(Float.BYTES).order(ByteOrder.nativeOrder()).putFloat(0, value));
    }

    private static void check(int status, String function) {
        if (status != CUBLAS_STATUS_SUCCESS) {
            throw new CublasException("cuBLAS", function, status);
        }
    }

    @Override
    public String description() {
        return "cuBLAS " + version + " through JCublas";
    }

    @Override
    public long workspaceBytes() {
        return context.device().major() >= HOPPER ? WORKSPACE_BYTES : WORKSPACE_BYTES_BEFORE_HOPPER;
    }

    @Override
    public Prepared prepare(GemmShape shape) {
        if (shape.hasBias()) {
            kernels.elementwise();
        }
        return new Product(shape);
    }

    @Override
    public void decide() {
    }

    /** As in {@link CublasLtGemm}, the library computes D^T = op(B)^T op(A)^T. */
    private final class Product implements Prepared {
        private final int m;
        private final int n;
        private final int k;
        private final int transposeFirst;
        private final int transposeSecond;
        private final int leadingFirst;
        private final int leadingSecond;
        private final int operands;
        private final int results;
        private final Pointer beta;

        Product(GemmShape shape) {
            m = (int) shape.n();
            n = (int) shape.m();
            k = (int) shape.k();
            transposeFirst = shape.transposeB() ? cublasOperation.CUBLAS_OP_T : cublasOperation.CUBLAS_OP_N;
            transposeSecond = shape.transposeA() ? cublasOperation.CUBLAS_OP_T : cublasOperation.CUBLAS_OP_N;
            leadingFirst = shape.transposeB() ? k : m;
            leadingSecond = shape.transposeA() ? n : k;
            operands = type(shape.operands());
            results = type(shape.result());
            beta = shape.hasAddend() ? one : zero;
        }

        @Override
        public void run(Tensor a, Tensor b, Tensor c, Tensor d, Tensor bias, Tensor workspace) {
            context.use();
            useWorkspace(CudaMemory.address(context, workspace));
            long to = CudaMemory.address(context, d);
            if (c != null && CudaMemory.address(context, c) != to) {
                // The library adds to what is in the result.
                CudaStatus.check(JCudaDriver.cuMemcpyDtoDAsync(result.at(to), other.at(CudaMemory.address(context, c)),
                        d.bytes(), context.compute()), "cuMemcpyDtoDAsync");
            }
            check(JCublas2.cublasGemmEx_new(handle, transposeFirst, transposeSecond, m, n, k, one,
                    first.at(CudaMemory.address(context, b)), operands, leadingFirst,
                    second.at(CudaMemory.address(context, a)), operands, leadingSecond, beta, result.at(to), results, m,
                    cublasComputeType.CUBLAS_COMPUTE_32F, cublasGemmAlgo.CUBLAS_GEMM_DEFAULT), "cublasGemmEx");
            if (bias != null) {
                kernels.elementwise().addBias(d, bias);
            }
        }
    }

    private static int type(DType dtype) {
        return dtype == DType.BF16 ? cudaDataType.CUDA_R_16BF : cudaDataType.CUDA_R_32F;
    }

    private void useWorkspace(long address) {
        if (address != workspaceInUse) {
            check(JCublas2.cublasSetWorkspace(handle, other.at(address), workspaceBytes()), "cublasSetWorkspace");
            workspaceInUse = address;
        }
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            check(JCublas2.cublasDestroy(handle), "cublasDestroy");
        }
    }
}
