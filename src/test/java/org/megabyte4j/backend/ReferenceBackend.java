package org.megabyte4j.backend;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Consumer;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.Memory;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * The oracle of the tests: a backend in double precision, written for being obviously right. An element of an F32, BF16
 * or I32 tensor is held as one double, so that whole models can be differentiated numerically.
 *
 * <p>{@link #plainBf16} is the same with each element of a BF16 tensor rounded when it is stored, and so what plain
 * bf16 arithmetic costs, without any kernel: the measure of a kernel's error.
 */
public final class ReferenceBackend implements Backend {
    /** A double for every two bytes, so that all dtypes fit their places. */
    private record Doubles(double[] values, boolean rounding) implements Memory {
        @Override
        public long bytes() {
            return values.length * 2L;
        }

        @Override
        public void close() {
        }
    }

    private final boolean rounding;

    public ReferenceBackend() {
        this(false);
    }

    private ReferenceBackend(boolean rounding) {
        this.rounding = rounding;
    }

    /** Rounds what is stored in BF16 tensors, and what the formulas would store in between. */
    public static ReferenceBackend plainBf16() {
        return new ReferenceBackend(true);
    }

    /**
     * The array that holds a tensor's elements, where they start, how far they are apart, and whether they are rounded
     * to bf16.
     */
    record View(double[] values, int start, int stride, boolean rounding) {
        static View of(Tensor tensor) {
            boolean half = tensor.dtype() == DType.BF16;
            if (!half && tensor.dtype() != DType.F32 && tensor.dtype() != DType.I32) {
                throw new UnsupportedOperationException("the reference holds F32, BF16 and I32, not " + tensor);
            }
            Doubles memory = (Doubles) tensor.memory();
            return new View(memory.values, Math.toIntExact(tensor.offset() / 2), half ? 1 : 2, half && memory.rounding);
        }

        /** Elements that are no tensor, but rounded as this one's. */
        View like(double[] elements) {
            return new View(elements, 0, 1, rounding);
        }

        /** What a tensor of this dtype would make of an intermediate result. */
        double stored(double value) {
            return rounding ? Bf16.round(value) : value;
        }

        private int at(long index) {
            return start + (int) index * stride;
        }

        double get(long index) {
            return values[at(index)];
        }

        int id(long index) {
            return (int) values[at(index)];
        }

        void set(long index, double value) {
            values[at(index)] = stored(value);
        }

        void add(long index, double value) {
            set(index, get(index) + value);
        }
    }

    /** What the formulas would store in between, on the way to a tensor. */
    static Tensor between(Tensor like, DType dtype, long... shape) {
        MemoryPlan plan = new MemoryPlan();
        Tensor tensor = plan.tensor(MemoryPlan.Category.ACTIVATIONS, "between", dtype, shape);
        boolean rounding = ((Doubles) like.memory()).rounding;
        plan.allocate(bytes -> new Doubles(new double[Math.toIntExact(bytes / 2)], rounding));
        return tensor;
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
    public boolean supports(DType dtype) {
        return dtype == DType.F32 || dtype == DType.BF16;
    }

    @Override
    public boolean supports(DType dtype, DType weights) {
        return supports(dtype) && supports(weights);
    }

    @Override
    public Memory allocate(long bytes) {
        return new Doubles(new double[Math.toIntExact(bytes / 2)], rounding);
    }

    @Override
    public void write(Tensor to, MemorySegment from) {
        View view = View.of(to);
        for (long i = 0; i < to.elements(); i++) {
            view.set(i, switch (to.dtype()) {
                case F32 -> from.get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i);
                case BF16 -> Bf16.value(from.get(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * i));
                default -> from.get(ValueLayout.JAVA_INT_UNALIGNED, 4 * i);
            });
        }
    }

    @Override
    public void read(Tensor from, MemorySegment to) {
        View view = View.of(from);
        for (long i = 0; i < from.elements(); i++) {
            switch (from.dtype()) {
                case F32 -> to.set(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * i, (float) view.get(i));
                case BF16 -> to.set(ValueLayout.JAVA_SHORT_UNALIGNED, 2 * i, Bf16.bits((float) view.get(i)));
                default -> to.set(ValueLayout.JAVA_INT_UNALIGNED, 4 * i, view.id(i));
            }
        }
    }

    /** All elements at full precision. */
    public double[] readDoubles(Tensor from) {
        View view = View.of(from);
        double[] values = new double[(int) from.elements()];
        for (int i = 0; i < values.length; i++) {
            values[i] = view.get(i);
        }
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
