package org.megabyte4j.backend.cuda;

import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.Tensor;

/**
 * Linear layers: one product each, and kernels for what the library leaves. A product is prepared in the dry run, by
 * the method beside it, which returns the workspace that it needs; enqueuing it later makes no garbage. No rows are no
 * work.
 */
final class LinearOps {
    private final CudaKernels kernels;
    private final Gemm gemm;
    private final PreparedGemms products;
    private final Map<Gemm.Prepared, Choice> biasPlaces = new IdentityHashMap<>();

    LinearOps(CudaKernels kernels, Gemm gemm) {
        this.kernels = kernels;
        this.gemm = gemm;
        products = new PreparedGemms(gemm);
    }

    /** The library behind it. */
    Gemm gemm() {
        return gemm;
    }

    long prepareForward(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        long rows = out.elements() / weight.size(0);
        if (rows > 0) {
            products.prepare(rows, weight.size(0), weight.size(1), forwardForm(x, weight, bias, addend, out));
        }
        return gemm.workspaceBytes();
    }

    void forward(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out, Tensor workspace) {
        long rows = out.elements() / weight.size(0);
        if (rows > 0) {
            products.get(rows, weight.size(0), weight.size(1), forwardForm(x, weight, bias, addend, out))
                    .run(x, weight, addend, out, bias, workspace);
        }
    }

    private static int forwardForm(Tensor x, Tensor weight, Tensor bias, Tensor addend, Tensor out) {
        return GemmShape.form(false, true, x, weight, addend, out, bias);
    }

    long prepareInputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        long rows = dX.elements() / weight.size(1);
        if (rows > 0) {
            products.prepare(rows, weight.size(1), weight.size(0), inputGradientForm(dOut, weight, addend, dX));
        }
        return gemm.workspaceBytes();
    }

    void inputGradient(Tensor dOut, Tensor weight, Tensor addend, Tensor dX, Tensor workspace) {
        long rows = dX.elements() / weight.size(1);
        if (rows > 0) {
            products.get(rows, weight.size(1), weight.size(0), inputGradientForm(dOut, weight, addend, dX))
                    .run(dOut, weight, addend, dX, null, workspace);
        }
    }

    private static int inputGradientForm(Tensor dOut, Tensor weight, Tensor addend, Tensor dX) {
        return GemmShape.form(false, false, dOut, weight, addend, dX, null);
    }

    long prepareWeightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias) {
        long rows = dOut.elements() / dWeight.size(0);
        if (rows == 0) {
            return 0;
        }
        products.prepare(dWeight.size(0), dWeight.size(1), rows, weightGradientForm(x, dOut, dWeight));
        return Math.max(gemm.workspaceBytes(), dBias == null ? 0
                : kernels.elementwise().columnSumsWorkspaceBytes(rows, dWeight.size(0)));
    }

    void weightGradient(Tensor x, Tensor dOut, Tensor dWeight, Tensor dBias, Tensor workspace) {
        long rows = dOut.elements() / dWeight.size(0);
        if (rows == 0) {
            return;
        }
        products.get(dWeight.size(0), dWeight.size(1), rows, weightGradientForm(x, dOut, dWeight))
                .run(dOut, x, dWeight, dWeight, null, workspace);
        if (dBias != null) {
            kernels.elementwise().columnSums(dOut, rows, dWeight.size(0), dBias, workspace);
        }
    }

    private static int weightGradientForm(Tensor x, Tensor dOut, Tensor dWeight) {
        return GemmShape.form(true, false, dOut, x, dWeight, dWeight, null);
    }

    long prepareForwardGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation) {
        kernels.gelu();
        if (preActivation.elements() > 0 && bias != null && kernels.tuner().measures()) {
            prepareForward(x, weight, null, null, preActivation);
            prepareForward(x, weight, bias, null, preActivation);
            biasPlaces.computeIfAbsent(productOf(x, weight, bias, preActivation),
                    product -> biasPlace(x, weight, bias, preActivation));
        }
        return prepareForward(x, weight, bias, null, preActivation);
    }

    private Gemm.Prepared productOf(Tensor x, Tensor weight, Tensor bias, Tensor preActivation) {
        return products.get(preActivation.elements() / weight.size(0), weight.size(0), weight.size(1),
                forwardForm(x, weight, bias, null, preActivation));
    }

    /** Whether the product adds the bias, or the kernel that reads the result anyway. */
    private Choice biasPlace(Tensor x, Tensor weight, Tensor bias, Tensor preActivation) {
        long rows = preActivation.elements() / weight.size(0);
        return kernels.tuner().choice("linear_gelu " + rows + "x" + weight.size(0) + "x" + weight.size(1) + " "
                + x.dtype().label(), List.of("bias by the product", "bias by GELU"), scratch -> {
            Tensor[] like = new Tensor[5];
            Tensor[] operands = {x, weight, bias, preActivation, preActivation};
            for (int i = 0; i < like.length; i++) {
                like[i] = scratch.tensor(MemoryPlan.Category.WORKSPACE, "trial", x.dtype(), operands[i].shape());
            }
            prepareForward(like[0], like[1], null, null, like[3]);
            Tensor workspace = scratch.tensor(MemoryPlan.Category.WORKSPACE, "trial", DType.U8,
                    prepareForward(like[0], like[1], like[2], null, like[3]));
            return List.of(() -> forwardGelu(like[0], like[1], like[2], like[3], like[4], workspace, false),
                    () -> forwardGelu(like[0], like[1], like[2], like[3], like[4], workspace, true));
        });
    }

    void forwardGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated, Tensor workspace) {
        if (preActivation.elements() > 0) {
            Choice place = biasPlaces.isEmpty() ? null : biasPlaces.get(productOf(x, weight, bias, preActivation));
            forwardGelu(x, weight, bias, preActivation, activated, workspace, place != null && place.taken() == 1);
        }
    }

    private void forwardGelu(Tensor x, Tensor weight, Tensor bias, Tensor preActivation, Tensor activated,
            Tensor workspace, boolean biasByGelu) {
        forward(x, weight, biasByGelu ? null : bias, null, preActivation, workspace);
        kernels.gelu().gelu(preActivation, biasByGelu ? bias : null, activated);
    }
}
