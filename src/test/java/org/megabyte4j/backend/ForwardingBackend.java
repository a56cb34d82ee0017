package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** Another backend, for tests that change or watch a part of it. */
public class ForwardingBackend implements Backend {
    private final Backend to;

    public ForwardingBackend(Backend to) {
        this.to = to;
    }

    @Override
    public String name() {
        return to.name();
    }

    @Override
    public String description() {
        return to.description();
    }

    @Override
    public boolean supports(DType dtype) {
        return to.supports(dtype);
    }

    @Override
    public Fusion fusion() {
        return to.fusion();
    }

    @Override
    public boolean supports(DType dtype, DType weights) {
        return to.supports(dtype, weights);
    }

    @Override
    public boolean isAsynchronous() {
        return to.isAsynchronous();
    }

    @Override
    public boolean decodesPatches(LocalModel model, long batch, int patchSize) {
        return to.decodesPatches(model, batch, patchSize);
    }

    @Override
    public Ops plan(MemoryPlan plan, Consumer<Ops> program) {
        return to.plan(plan, program);
    }

    @Override
    public void allocate(MemoryPlan... plans) {
        to.allocate(plans);
    }

    @Override
    public Memory allocate(long bytes) {
        return to.allocate(bytes);
    }

    @Override
    public void write(Tensor tensor, MemorySegment from) {
        to.write(tensor, from);
    }

    @Override
    public void read(Tensor tensor, MemorySegment into) {
        to.read(tensor, into);
    }

    @Override
    public void synchronize() {
        to.synchronize();
    }

    @Override
    public Recording record(Runnable work) {
        return to.record(work);
    }

    @Override
    public Readback readback(Tensor... scalars) {
        return to.readback(scalars);
    }

    @Override
    public Stopwatch stopwatch() {
        return to.stopwatch();
    }

    @Override
    public IntReadback intReadback(Tensor ints) {
        return to.intReadback(ints);
    }

    @Override
    public void close() {
        to.close();
    }
}
