package org.megabyte4j.backend.cuda;

import java.util.Locale;
import org.megabyte4j.backend.AttentionBias;
import org.megabyte4j.backend.AttentionShape;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/** What ways to compute an attention are tried on. */
record AttentionTrial(Tensor qkv, Tensor out, Tensor logSumExp, Tensor dOut, Tensor dQkv, Tensor workspace) {
    /** @param workspaceBytes of the way that needs most */
    static AttentionTrial plan(MemoryPlan scratch, AttentionShape shape, DType dtype, long workspaceBytes) {
        return new AttentionTrial(empty(scratch, dtype, shape.rows(), shape.packedWidth()),
                empty(scratch, dtype, shape.rows(), shape.width()),
                empty(scratch, DType.F32, shape.batch(), shape.heads(), shape.length()),
                empty(scratch, dtype, shape.rows(), shape.width()),
                empty(scratch, dtype, shape.rows(), shape.packedWidth()),
                empty(scratch, DType.F32, workspaceBytes / Float.BYTES));
    }

    private static Tensor empty(MemoryPlan scratch, DType dtype, long... shape) {
        return scratch.tensor(MemoryPlan.Category.WORKSPACE, "trial", dtype, shape);
    }

    /** The name of the choice. */
    static String what(KernelModule module, String direction, AttentionShape shape, AttentionBias bias,
            DType dtype) {
        return module + " " + direction + " " + shape.batch() + "x" + shape.length() + ", " + shape.heads() + "/"
                + shape.keyValueHeads() + " heads of " + shape.headSize() + ", bias "
                + bias.name().toLowerCase(Locale.ROOT) + ", " + dtype.label();
    }
}
