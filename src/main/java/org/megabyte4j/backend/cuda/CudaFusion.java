package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.Locale;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.Support;
import org.megabyte4j.tensor.DType;

/**
 * Which layers a GPU computes at once: those that there are kernels and shared memory for. Whether that is faster than
 * step by step, only the GPU can show. The system property {@code megabyte4j.fusion} says {@code auto} (whatever is
 * faster), {@code fused} (whatever can be) or {@code unfused} (nothing).
 */
final class CudaFusion implements Fusion {
    /** The system property. */
    static final String PROPERTY = "megabyte4j.fusion";

    private static final Support SLOWER = Support.no("step by step is faster, or has not been compared");

    private final int sharedBytesPerBlock;
    private final FusionTrials trials;

    /** @param trials whether it is faster; null for taking what can be */
    CudaFusion(int sharedBytesPerBlock, FusionTrials trials) {
        this.sharedBytesPerBlock = sharedBytesPerBlock;
        this.trials = trials;
    }

    /** @throws MegabyteException if the property says something else */
    static Fusion of(CudaDevice device, CudaKernels kernels, boolean simulated) {
        String asked = System.getProperty(PROPERTY, "auto");
        return switch (asked.toLowerCase(Locale.ROOT)) {
            // There is nothing to measure on the simulated device, which is there to test the kernels.
            case "auto" -> new CudaFusion(device.sharedBytesPerBlock(), simulated && !kernels.tuner().measures() ? null
                    : new FusionTrials(kernels, device.multiprocessors()));
            case "fused" -> new CudaFusion(device.sharedBytesPerBlock(), null);
            case "unfused" -> NONE;
            default -> throw new MegabyteException(PROPERTY + " is " + asked + "; use auto, fused or unfused");
        };
    }

    @Override
    public Support feedForward(DType dtype, long dim, long hidden) {
        List<String> obstacles = FeedForwardKernels.obstacles(dtype, dim, hidden);
        if (obstacles.isEmpty()) {
            enoughShared(obstacles, FeedForwardKernels.sharedBytes((int) dim));
        }
        return !obstacles.isEmpty() ? new Support(obstacles)
                : trials == null || trials.feedForward(dim, hidden) ? Support.YES : SLOWER;
    }

    @Override
    public Support selfAttention(DType dtype, long dim, AttentionShape shape) {
        List<String> obstacles = SelfAttentionKernels.obstacles(dtype, dim, shape);
        if (obstacles.isEmpty()) {
            enoughShared(obstacles, SelfAttentionKernels.sharedBytes((int) dim, shape.heads()));
        }
        return !obstacles.isEmpty() ? new Support(obstacles)
                : trials == null || trials.selfAttention(dim, shape) ? Support.YES : SLOWER;
    }

    private void enoughShared(List<String> obstacles, int bytes) {
        if (bytes > sharedBytesPerBlock) {
            obstacles.add("a block needs " + bytes + " bytes of shared memory, and this GPU gives it "
                    + sharedBytesPerBlock);
        }
    }
}
