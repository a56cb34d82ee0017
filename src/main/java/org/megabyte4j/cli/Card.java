package org.megabyte4j.cli;

import org.megabyte4j.backend.Rates;
import org.megabyte4j.tensor.DType;

/**
 * GPUs whose peaks are known: dense products (no sparsity) and memory bandwidth, from NVIDIA's data sheets of the H200
 * and H100 Tensor Core GPUs (SXM) and of the A100 80GB (SXM). Any other one gets no utilisation figure.
 */
enum Card {
    H200("H200", 989, 67, 4800), H100("H100 80GB HBM3", 989, 67, 3350), A100("A100-SXM4-80GB", 312, 19.5, 2039);

    /** Of the peaks, what a large bf16 product and a large copy usually reach, where nothing was measured. */
    private static final double REACHED_OF_PRODUCTS = 0.8;
    private static final double REACHED_OF_COPIES = 0.85;

    private final String name;        // as the driver gives it
    private final double bf16;        // TFLOP/s
    private final double float32;
    private final double bandwidth;   // GB/s

    Card(String name, double bf16, double float32, double bandwidth) {
        this.name = name;
        this.bf16 = bf16;
        this.float32 = float32;
        this.bandwidth = bandwidth;
    }

    /** The card that a device's description names; null for an unknown one. */
    static Card of(String description) {
        for (Card card : values()) {
            if (description.startsWith("NVIDIA " + card.name + ",")) {
                return card;
            }
        }
        return null;
    }

    /** FLOPs per second of dense products: what a utilisation is a share of. */
    double peak(DType dtype) {
        return 1e12 * (dtype == DType.BF16 ? bf16 : float32);
    }

    /** What floors are computed with where the card is not at hand. */
    Rates usual(DType dtype) {
        return new Rates(REACHED_OF_PRODUCTS * peak(dtype), 1e9 * REACHED_OF_COPIES * bandwidth);
    }
}
