package org.megabyte4j.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.megabyte4j.tensor.DType;

class CardTest {
    @Test
    void aCardIsKnownByItsName() {
        assertThat(Card.of("NVIDIA H200, compute capability 9.0, 139.8 GiB")).isEqualTo(Card.H200);
        assertThat(Card.of("NVIDIA H100 80GB HBM3, compute capability 9.0")).isEqualTo(Card.H100);
        assertThat(Card.of("NVIDIA A100-SXM4-80GB, compute capability 8.0")).isEqualTo(Card.A100);
        assertThat(Card.of("NVIDIA A1000, compute capability 8.6")).isNull();
        assertThat(Card.of("NVIDIA H100 PCIe, compute capability 9.0")).as("another peak").isNull();
        assertThat(Card.of("2 threads, 512-bit vectors")).isNull();
    }

    /** About 790 TFLOP/s and 4.1 TB/s on an H200. */
    @Test
    void floorsAreOfRatesThatAreReached() {
        assertThat(Card.H200.usual(DType.BF16).flopsPerSecond()).isBetween(780e12, 800e12);
        assertThat(Card.H200.usual(DType.BF16).bytesPerSecond()).isBetween(4.0e12, 4.2e12);
        assertThat(Card.H100.peak(DType.BF16)).isEqualTo(989e12);
    }
}
