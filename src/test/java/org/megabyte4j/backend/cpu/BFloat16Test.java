package org.megabyte4j.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.megabyte4j.backend.Comparison;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.backend.StepScalars;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan.Category;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Tensors of bfloat16: conversion, filling, and optimiser state. */
class BFloat16Test {
    private static CpuBackend backend;

    @BeforeAll
    static void open() {
        backend = CpuBackend.open(2);
    }

    @AfterAll
    static void close() {
        backend.close();
    }

    private static float[] rounded(float[] values) {
        return Comparison.run(backend, t -> {
            Tensor from = t.values(values, values.length);
            Tensor half = t.scratch(DType.BF16, values.length);
            Tensor back = t.result("back", values.length);
            return ops -> {
                ops.copy(from, half);
                ops.copy(half, back);
            };
        }).get("back");
    }

    /** Of the two neighbours with a mantissa of seven bits the nearer one; of two equally near ones the even one. */
    @Test
    void copiesRoundToTheNearestAndTiesToEven() {
        Random random = new Random(3);
        float[] values = new float[70_000];
        for (int i = 0; i < values.length; i++) {
            int bits = random.nextInt();
            // A third of them are ties, another third next to one.
            int low = i % 3 == 0 ? bits : i % 3 == 1 ? 0x8000 : 0x7fff + 2 * random.nextInt(2);
            values[i] = Float.intBitsToFloat(bits & 0xffff0000 | low & 0xffff);
            values[i] = Float.isFinite(values[i]) ? values[i] : i;
        }
        float[] actual = rounded(values);
        for (int i = 0; i < values.length; i++) {
            assertThat(actual[i]).as("%s", values[i]).isEqualTo(nearest(values[i]));
        }
    }

    private static float nearest(float value) {
        int bits = Float.floatToRawIntBits(value) & 0xffff0000;
        double toZero = Float.intBitsToFloat(bits);
        float outward = Float.intBitsToFloat(bits + 0x10000);
        // The neighbour of the largest value is where 2^128 would be.
        double away = Float.isInfinite(outward) ? Math.signum(value) * 0x1p128 : outward;
        double below = Math.abs(value - toZero);
        double above = Math.abs(away - value);
        boolean even = (bits >> 16 & 1) == 0;
        return below < above || below == above && even ? (float) toZero : outward;
    }

    @Test
    void infinitiesNaNsAndZerosStay() {
        float[] values = {Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NaN, Float.intBitsToFloat(0x7f800001),
            Float.intBitsToFloat(0xffffffff), 0f, -0f};
        float[] actual = rounded(values);
        assertThat(actual).isEqualTo(values);
        assertThat(Float.floatToRawIntBits(actual[6])).isEqualTo(0x80000000);
    }

    @Test
    void everyDtypeOfTheGraphCanBeFilled() {
        try (MemoryPlan plan = new MemoryPlan()) {
            Tensor floats = plan.tensor(Category.ACTIVATIONS, "floats", DType.F32, 70_001);
            Tensor halves = plan.tensor(Category.ACTIVATIONS, "halves", DType.BF16, 5);
            Tensor back = plan.tensor(Category.ACTIVATIONS, "back", DType.F32, 5);
            Tensor ids = plan.tensor(Category.INPUTS, "ids", DType.I32, 5);
            Tensor bytes = plan.tensor(Category.INPUTS, "bytes", DType.U8, 5);
            Ops ops = backend.plan(plan, dry -> dry.fill(floats, 0));
            backend.allocate(plan);
            ops.fill(floats, 1.1f);
            ops.fill(halves, 1.1f);
            ops.copy(halves, back);
            ops.fill(ids, -100);
            float[] expected = new float[70_001];
            Arrays.fill(expected, 1.1f);
            assertThat(backend.readFloats(floats)).isEqualTo(expected);
            assertThat(backend.readFloats(back)).containsOnly(1.1015625f);
            assertThat(backend.readInts(ids)).containsOnly(-100);
            assertThatThrownBy(() -> ops.fill(bytes, 1)).isInstanceOf(IllegalArgumentException.class)
                    .hasMessage("U8[5] cannot be filled");
        }
    }

    /** Steps of a fortieth of bfloat16's last bit: each alone rounds to nothing, the compensation keeps them. */
    @Test
    void compensationKeepsUpdatesThatRoundingWouldLose() {
        assertThat(afterSmallSteps(false)).containsOnly(1);
        for (float value : afterSmallSteps(true)) {
            assertThat(value).isBetween(0.98f - 0x1p-8f, 0.98f + 0x1p-8f);
        }
    }

    /** 200 steps of 1e-4 down from 1. */
    private static float[] afterSmallSteps(boolean compensated) {
        ParameterLayout layout = ParameterLayout.builder().add("p", false, 5, 7).build();
        long n = layout.elements();
        var settings = new Ops.AdamWSettings(0.9, 0.999, 1e-8, 0);
        Map<String, float[]> results = Comparison.run(backend, t -> {
            Tensor parameters = t.scratch(DType.BF16, n);
            Tensor gradients = t.scratch(DType.BF16, n);
            Tensor first = t.scratch(DType.BF16, n);
            Tensor second = t.scratch(DType.BF16, n);
            Tensor compensation = compensated ? t.scratch(DType.BF16, n) : null;
            Tensor scalars = t.values(StepScalars.of(1e-4f, 1, 1, 0), 4);
            Tensor result = t.result("parameters", n);
            return ops -> {
                ops.fill(parameters, 1);
                ops.fill(gradients, 1);
                ops.fill(first, 1);
                ops.fill(second, 1);
                if (compensated) {
                    ops.fill(compensation, 0);
                }
                for (int step = 0; step < 200; step++) {
                    ops.anyPrecisionAdamW(settings, layout, new boolean[1], scalars, Ops.Clip.NONE, parameters,
                            null, gradients, first, second, compensation);
                }
                ops.copy(parameters, result);
            };
        });
        return Arrays.copyOf(results.get("parameters"), 35);
    }
}
