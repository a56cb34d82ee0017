package org.megabyte4j.train;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.backend.AccountedOps;
import org.megabyte4j.backend.Cost;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.ParameterLayout;
import org.megabyte4j.tensor.Tensor;

/** Every operation of a training step, in order, with the part of the model that it belongs to. */
public final class StepAccount {
    /** What a step is made of. {@code EMBEDDING} includes the Linear layers between the two models. */
    public enum Part { EMBEDDING, GLOBAL, LOCAL, HEAD, OPTIMIZER }

    /**
     * One call.
     *
     * @param dtype   of activations and weights
     * @param seconds that it took; NaN in an account of a plan
     */
    public record Call(Part part, String operation, DType dtype, Cost cost, double seconds) {
        Call taking(double measured) {
            return new Call(part, operation, dtype, cost, measured);
        }
    }

    private StepAccount() {
    }

    /**
     * Notes calls on their way to other operations.
     *
     * <p>An operation on a parameter belongs to that parameter's layer. One without, such as attention, belongs to that
     * of the call before it, since a layer's calls follow each other.
     */
    static final class Recorder extends AccountedOps {
        private final ParameterLayout layout;
        private final List<Tensor> arenas;
        private final Runnable afterEach;
        private final List<StepAccount.Call> calls = new ArrayList<>();
        private Part part = Part.EMBEDDING;

        /**
         * @param arenas    tensors of the layout: parameters, their copy, their gradients
         * @param afterEach is called when a call has been enqueued
         */
        Recorder(Ops to, ParameterLayout layout, List<Tensor> arenas, Runnable afterEach) {
            super(to);
            this.layout = layout;
            this.arenas = arenas;
            this.afterEach = afterEach;
        }

        List<StepAccount.Call> calls() {
            return calls;
        }

        @Override
        protected void account(AccountedOps.Call call, Runnable work) {
            Part fixed = partOf(call.operation());
            part = fixed != null ? fixed : partOf(call.parameter());
            calls.add(new StepAccount.Call(part, call.operation(), call.dtype(), call.cost(), Double.NaN));
            work.run();
            afterEach.run();
        }

        private static Part partOf(String operation) {
            return switch (operation) {
                case "embed", "embedBackward" -> Part.EMBEDDING;
                case "countTargets", "softmaxCrossEntropy" -> Part.HEAD;
                case "norm", "adamW", "adafactor", "anyPrecisionAdamW" -> Part.OPTIMIZER;
                default -> null;
            };
        }

        private Part partOf(Tensor parameter) {
            if (parameter != null) {
                for (Tensor arena : arenas) {
                    long at = arena.distanceTo(parameter).orElse(-1);
                    if (at == 0 && parameter.elements() == arena.elements()) {
                        return Part.OPTIMIZER;
                    }
                    if (at >= 0) {
                        return partOfParameter(layout.entryAt(at).name());
                    }
                }
            }
            return part;
        }

        private static Part partOfParameter(String name) {
            return name.startsWith("g_transformer.") ? Part.GLOBAL
                    : name.startsWith("l_transformer.") ? Part.LOCAL
                    : name.startsWith("to_logits.") ? Part.HEAD : Part.EMBEDDING;
        }
    }
}
