package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Plans programs for a device that is not here: shapes are checked, nothing is allocated, nothing runs. */
public final class DryBackend implements Backend {
    /** Checks shapes in both of the types that a model computes in. */
    public static ShapeChecks checks() {
        return new ShapeChecks() {
            @Override
            protected boolean computesIn(DType dtype) {
                return dtype == DType.F32 || dtype == DType.BF16;
            }
        };
    }

    @Override
    public String name() {
        return "none";
    }

    @Override
    public String description() {
        return "no device, only a plan";
    }

    @Override
    public boolean supports(DType dtype) {
        return dtype == DType.F32 || dtype == DType.BF16;
    }

    @Override
    public Ops plan(MemoryPlan plan, Consumer<Ops> program) {
        Ops checks = checks();
        program.accept(checks);
        return checks;
    }

    @Override
    public void allocate(MemoryPlan... plans) {
        throw nothing();
    }

    @Override
    public Memory allocate(long bytes) {
        throw nothing();
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        throw nothing();
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        throw nothing();
    }

    @Override
    public void synchronize() {
    }

    private static UnsupportedOperationException nothing() {
        return new UnsupportedOperationException("a plan without a device has no memory");
    }

    @Override
    public void close() {
    }
}
