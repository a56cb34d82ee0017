package org.megabyte4j.jmh;

import java.util.function.Consumer;
import java.util.function.Function;
import org.megabyte4j.backend.AccountedOps;
import org.megabyte4j.backend.Cost;
import org.megabyte4j.backend.DryBackend;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;

/**
 * One operation at one shape.
 *
 * @param operation its name in {@link Ops}
 * @param shape     in words
 * @param dtype     of activations
 * @param work      plans a set of tensors and gives the call on them; each set has its own
 */
record KernelCase(String operation, String shape, DType dtype, Function<Program, Call> work) {
    /** What the call that is timed has to do. */
    Cost cost() {
        Cost[] sum = {Cost.NONE};
        work.apply(Program.withoutDevice()).timed().accept(new AccountedOps(DryBackend.checks()) {
            @Override
            protected void account(AccountedOps.Call call, Runnable checked) {
                sum[0] = sum[0].plus(call.cost());
                checked.run();
            }
        });
        return sum[0];
    }

    /**
     * A call that is timed.
     *
     * @param before is called once, so that the call finds its input; null for nothing
     */
    record Call(Consumer<Ops> before, Consumer<Ops> timed) {
        static Call of(Consumer<Ops> timed) {
            return new Call(null, timed);
        }

        /** Both, as a dry run wants them. */
        void everything(Ops ops) {
            if (before != null) {
                before.accept(ops);
            }
            timed.accept(ops);
        }
    }
}
