package org.megabyte4j.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.ffi.CublasLt;
import org.megabyte4j.ffi.CublasLtMatmul;
import org.megabyte4j.ffi.CublasLtMatmul.Algorithm;
import org.megabyte4j.ffi.CublasLtMatmul.Operand;
import org.megabyte4j.ffi.CublasLtMatmul.Type;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Tensor;

/** Products by cuBLASLt: the bias is part of them, and the algorithm is the fastest of those that it offers. */
final class CublasLtGemm implements Gemm {
    /** NVIDIA's advice for Hopper and newer, and for what came before. */
    private static final long WORKSPACE_BYTES = 32L << 20;
    private static final long WORKSPACE_BYTES_BEFORE_HOPPER = 4L << 20;
    private static final int HOPPER = 9;

    private final CudaContext context;
    private final CublasLt library;
    private final AlgorithmChoice choice;
    private final List<CublasLtMatmul> products = new ArrayList<>();
    private final List<Product> undecided = new ArrayList<>();

    /**
     * @param library closed with this
     * @param choice  among the algorithms that the library offers
     */
    CublasLtGemm(CudaContext context, CublasLt library, AlgorithmChoice choice) {
        this.context = context;
        this.library = library;
        this.choice = choice;
    }

    @Override
    public String description() {
        return "cuBLASLt " + version(library.version());
    }

    static String version(long version) {
        return version / 10000 + "." + version % 10000 / 100 + "." + version % 100;
    }

    @Override
    public long workspaceBytes() {
        return context.device().major() >= HOPPER ? WORKSPACE_BYTES : WORKSPACE_BYTES_BEFORE_HOPPER;
    }

    /** The library is column-major, where a row-major matrix is its transpose: it computes D^T = op(B)^T op(A)^T. */
    @Override
    public Prepared prepare(GemmShape shape) {
        context.use();
        Type operands = type(shape.operands());
        Operand first = shape.transposeB() ? new Operand(operands, shape.k(), shape.n(), shape.alignmentOfB())
                : new Operand(operands, shape.n(), shape.k(), shape.alignmentOfB());
        Operand second = shape.transposeA() ? new Operand(operands, shape.m(), shape.k(), shape.alignmentOfA())
                : new Operand(operands, shape.k(), shape.m(), shape.alignmentOfA());
        Operand result = new Operand(type(shape.result()), shape.n(), shape.m(), shape.alignmentOfD());
        CublasLtMatmul product = new CublasLtMatmul(library, shape.transposeB(), shape.transposeA(), first, second,
                result, shape.hasAddend() ? shape.alignmentOfC() : shape.alignmentOfD(), shape.alignmentOfBias());
        products.add(product);
        Product prepared = new Product(shape, product, choice.known(shape, product, workspaceBytes()));
        if (prepared.algorithm == null) {
            undecided.add(prepared);
        }
        return prepared;
    }

    @Override
    public void decide() {
        context.use();
        undecided.forEach(Product::decide);
        undecided.clear();
    }

    private static Type type(DType dtype) {
        return dtype == DType.BF16 ? Type.BF16 : Type.F32;
    }

    private final class Product implements Prepared {
        private final GemmShape shape;
        private final CublasLtMatmul product;
        private final float beta;
        private Algorithm algorithm;

        Product(GemmShape shape, CublasLtMatmul product, Algorithm algorithm) {
            this.shape = shape;
            this.product = product;
            this.algorithm = algorithm;
            beta = shape.hasAddend() ? 1 : 0;
        }

        void decide() {
            algorithm = choice.measure(shape, product, workspaceBytes());
        }

        @Override
        public void run(Tensor a, Tensor b, Tensor c, Tensor d, Tensor bias, Tensor workspace) {
            context.use();
            if (algorithm == null) {
                decide();
            }
            long to = CudaMemory.address(context, d);
            product.run(algorithm, 1, CudaMemory.address(context, b), CudaMemory.address(context, a), beta,
                    c == null ? to : CudaMemory.address(context, c), to, CudaMemory.address(context, bias),
                    CudaMemory.address(context, workspace), context.computeAddress());
        }
    }

    @Override
    public void close() {
        products.forEach(CublasLtMatmul::close);
        products.clear();
        undecided.clear();
        library.close();
    }
}
