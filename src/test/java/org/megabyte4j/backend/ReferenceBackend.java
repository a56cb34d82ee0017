package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The oracle of the tests: a backend in double precision, written for being obviously right. An element of an F32 or
 * I32 tensor is held as one double, so that whole models can be differentiated numerically.
 */
public final class ReferenceBackend implements Backend {
    private record Doubles(double[] values) implements Memory {
        @Override
        public long bytes() {
            return values.length * 4L;
        }

        @Override
        public void close() {
        }
    }

    /** The array that holds a tensor's elements, and where they start. */
    record View(double[] values, int start) {
        static View of(Tensor tensor) {
            if (tensor.dtype() != DType.F32 && tensor.dtype() != DType.I32) {
                throw new UnsupportedOperationException("the reference holds F32 and I32, not " + tensor);
            }
            return new View(((Doubles) tensor.memory()).values, Math.toIntExact(tensor.offset() / 4));
        }

        double get(long index) {
            return values[start + (int) index];
        }

        int id(long index) {
            return (int) values[start + (int) index];
        }

        void set(long index, double value) {
            values[start + (int) index] = value;
        }

        void add(long index, double value) {
            values[start + (int) index] += value;
        }
    }

    @Override
    public String name() {
        return "reference";
    }

    @Override
    public String description() {
        return "double precision, plain loops";
    }

    @Override
    public Ops plan(MemoryPlan plan, Consumer<Ops> program) {
        return new ReferenceOps();
    }

    @Override
    public void allocate(MemoryPlan... plans) {
        MemoryPlan.allocate(this::allocate, plans);
    }

    @Override
    public Memory allocate(long bytes) {
        return new Doubles(new double[Math.toIntExact(bytes / 4)]);
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        View view = View.of(to);
        for (long i = 0; i < to.elements(); i++) {
            view.set(i, to.dtype() == DType.F32 ? from.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i)
                    : from.get(ValueLayout.JAVA_INT_UNALIGNED, 4 * i));
        }
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        View view = View.of(from);
        for (long i = 0; i < from.elements(); i++) {
            if (from.dtype() == DType.F32) {
                to.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i, (float) view.get(i));
            } else {
                to.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * i, view.id(i));
            }
        }
    }

    /** All elements at full precision. */
    public double[] readDoubles(Tensor from) {
        View view = View.of(from);
        double[] values = new double[(int) from.elements()];
        System.arraycopy(view.values, view.start, values, 0, values.length);
        return values;
    }

    /** Sets one element at full precision. */
    public void set(Tensor to, long index, double value) {
        View.of(to).set(index, value);
    }

    @Override
    public void synchronize() {
    }

    @Override
    public void close() {
    }
}
