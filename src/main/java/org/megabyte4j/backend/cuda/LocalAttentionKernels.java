package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.F32;
import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ShapeException;
import org.megabyte4j.tensor.Tensor;

/** Causal attention over at most 64 positions, {@code kernels/local_attention.cu}. */
final class LocalAttentionKernels {
    /** The longest sequence that it is made for. */
    static final long LONGEST = LocalAttentionLaunch.LONGEST;

    /** Dynamic shared memory that needs no permission. */
    private static final int FREE_SHARED_BYTES = 48 * 1024;

    /** The bias that tiles are compared with, that of the presets: within a patch it hardly matters. */
    private static final AttentionBias TRIED = AttentionBias.ALIBI;

    private final Map<String, Kernel> kernels = new HashMap<>();
    private final KernelModule module;
    private final Tuner tuner;
    private final Map<AttentionShape, Choices> choices = new HashMap<>();
    private final int sharedBytesPerBlock;

    /** Which tiles to take for a shape in bf16. */
    private record Choices(Choice forward, Choice backward) { }

    LocalAttentionKernels(KernelLoader loader, Tuner tuner) {
        this.tuner = tuner;
        module = loader.module("local_attention");
        sharedBytesPerBlock = loader.context().device().sharedBytesPerBlock();
        for (String name : LocalAttentionLaunch.kernels()) {
            kernels.put(name, name.contains("forward")
                    ? module.kernel(name, PTR, PTR, PTR, I64, I32, I32, I32, I32, I32, F32, I32)
                    : module.kernel(name, PTR, PTR, PTR, PTR, PTR, I64, I32, I32, I32, I32, I32, F32, I32));
        }
        allowShared(DType.F32);
        allowShared(DType.BF16);
    }

    /** What each kernel's largest shape, which comes last, needs, or as much of it as there is. */
    private void allowShared(DType dtype) {
        for (int headSize : new int[] {32, 64, LocalAttentionLaunch.LONGEST_HEAD}) {
            for (int length : new int[] {32, LocalAttentionLaunch.LONGEST}) {
                AttentionShape shape = new AttentionShape(1, length, 1, 1, headSize);
                for (boolean vectors : new boolean[] {false, true}) {
                    allowShared(LocalAttentionLaunch.forward(shape, dtype, vectors, false));
                    allowShared(LocalAttentionLaunch.backward(shape, dtype, vectors, false));
                }
            }
        }
    }

    private void allowShared(LocalAttentionLaunch launch) {
        if (launch.sharedBytes() > FREE_SHARED_BYTES) {
            kernels.get(launch.kernel()).maxDynamicShared(Math.min(launch.sharedBytes(), sharedBytesPerBlock));
        }
    }

    /**
     * Readies what computes a shape.
     *
     * @throws ShapeException if this GPU cannot
     */
    void prepare(AttentionShape shape, DType dtype) {
        boolean vectors = shape.headSize() % Launches.vector(dtype) == 0;
        check(shape, dtype, LocalAttentionLaunch.forward(shape, dtype, vectors, false));
        check(shape, dtype, LocalAttentionLaunch.backward(shape, dtype, vectors, false));
        if (LocalAttentionLaunch.hasLarger(shape, dtype)) {
            choices.computeIfAbsent(shape, key -> choices(shape, dtype));
        }
    }

    private Choices choices(AttentionShape shape, DType dtype) {
        return new Choices(choice("forward", shape, dtype, LocalAttentionLaunch.forward(shape, dtype, true, true),
                (t, larger) -> forward(LocalAttentionLaunch.forward(shape, dtype, true, larger), shape, t.qkv(),
                        TRIED, t.out(), t.logSumExp())),
                choice("backward", shape, dtype, LocalAttentionLaunch.backward(shape, dtype, true, true),
                (t, larger) -> backward(LocalAttentionLaunch.backward(shape, dtype, true, larger), shape, t.qkv(),
                        TRIED, t.out(), t.logSumExp(), t.dOut(), t.dQkv())));
    }

    private Choice choice(String direction, AttentionShape shape, DType dtype, LocalAttentionLaunch larger,
            BiConsumer<AttentionTrial, Boolean> work) {
        List<String> ways = larger.sharedBytes() <= sharedBytesPerBlock ? List.of("small tile", "large tile")
                : List.of("small tile");
        return tuner.choice(AttentionTrial.what(module, direction, shape, TRIED, dtype), ways, scratch -> {
            AttentionTrial t = AttentionTrial.plan(scratch, shape, dtype, 0);
            return List.of(() -> work.accept(t, false), () -> work.accept(t, true));
        });
    }

    private void check(AttentionShape shape, DType dtype, LocalAttentionLaunch launch) {
        if (launch.sharedBytes() > sharedBytesPerBlock) {
            throw new ShapeException("attention over " + shape.length() + " positions with heads of size "
                    + shape.headSize() + " in " + dtype + " needs " + launch.sharedBytes()
                    + " bytes of shared memory, but this GPU gives a block " + sharedBytesPerBlock
                    + "; use bf16, or a smaller patch or head");
        }
    }

    /** {@link Ops#causalAttention}. */
    void causalAttention(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out, Tensor logSumExp) {
        Choices choice = choices.get(shape);
        forward(LocalAttentionLaunch.forward(shape, qkv.dtype(), vectors(shape, qkv) && vectors(shape, out),
                choice != null && choice.forward.taken() == 1), shape, qkv, bias, out, logSumExp);
    }

    private void forward(LocalAttentionLaunch launch, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp) {
        problem(begin(launch).arg(qkv).arg(out).arg(logSumExp), launch, shape, bias).launch();
    }

    /** {@link Ops#causalAttentionBackward}. */
    void causalAttentionBackward(AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        Choices choice = choices.get(shape);
        boolean vectors = vectors(shape, qkv) && vectors(shape, out) && vectors(shape, dOut) && vectors(shape, dQkv);
        backward(LocalAttentionLaunch.backward(shape, qkv.dtype(), vectors,
                choice != null && choice.backward.taken() == 1), shape, qkv, bias, out, logSumExp, dOut, dQkv);
    }

    private void backward(LocalAttentionLaunch launch, AttentionShape shape, Tensor qkv, AttentionBias bias, Tensor out,
            Tensor logSumExp, Tensor dOut, Tensor dQkv) {
        problem(begin(launch).arg(qkv).arg(out).arg(logSumExp).arg(dOut).arg(dQkv), launch, shape, bias).launch();
    }

    private static boolean vectors(AttentionShape shape, Tensor tensor) {
        return Launches.vectors(tensor, shape.headSize());
    }

    private Kernel begin(LocalAttentionLaunch launch) {
        return kernels.get(launch.kernel()).grid(launch.blocks()).block(launch.threads()).shared(launch.sharedBytes());
    }

    private static Kernel problem(Kernel kernel, LocalAttentionLaunch launch, AttentionShape shape,
            AttentionBias bias) {
        return kernel.arg(shape.batch()).arg((int) shape.length()).arg(shape.heads()).arg(shape.keyValueHeads())
                .arg(shape.headSize()).arg(launch.patchesPerTile()).arg((float) (1 / Math.sqrt(shape.headSize())))
                .arg(bias == AttentionBias.ALIBI ? 1 : 0);
    }
}
