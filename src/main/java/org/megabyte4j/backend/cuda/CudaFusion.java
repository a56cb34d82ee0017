package org.megabyte4j.backend.cuda;

import java.util.List;
import java.util.Locale;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.backend.Fusion;
import org.megabyte4j.backend.Support;
import org.megabyte4j.tensor.DType;

/**
 * Which layers a GPU computes at once: all shapes that there are kernels for and shared memory. The system property
 * {@code megabyte4j.fusion} says {@code auto}, {@code fused} (whatever can be) or {@code unfused} (nothing).
 */
final class CudaFusion implements Fusion {
    /** The system property. */
    static final String PROPERTY = "megabyte4j.fusion";

    private final int sharedBytesPerBlock;

    private CudaFusion(int sharedBytesPerBlock) {
        this.sharedBytesPerBlock = sharedBytesPerBlock;
    }

    /** @throws MegabyteException if the property says something else */
    static Fusion of(CudaDevice device) {
        String asked = System.getProperty(PROPERTY, "auto");
        return switch (asked.toLowerCase(Locale.ROOT)) {
            case "auto", "fused" -> new CudaFusion(device.sharedBytesPerBlock());
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
        return new Support(obstacles);
    }

    @Override
    public Support selfAttention(DType dtype, long dim, AttentionShape shape) {
        List<String> obstacles = SelfAttentionKernels.obstacles(dtype, dim, shape);
        if (obstacles.isEmpty()) {
            enoughShared(obstacles, SelfAttentionKernels.sharedBytes((int) dim, shape.heads()));
        }
        return new Support(obstacles);
    }

    private void enoughShared(List<String> obstacles, int bytes) {
        if (bytes > sharedBytesPerBlock) {
            obstacles.add("a block needs " + bytes + " bytes of shared memory, and this GPU gives it "
                    + sharedBytesPerBlock);
        }
    }
}
