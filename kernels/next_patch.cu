// Generation goes on to the next patch: what was chosen becomes what is seen, so that the host need not be asked.
//
// results [P, 2, batch]   earlier, byte_positions [batch, P]   past, previous [batch]   forced, positions [P, batch]
// A sequence whose patch is the last that there is room for stays as it is.
// Launch: grid ceil(batch / 128), block 128: a thread for each sequence.
// Bytes:  28 P per sequence: the time of a launch.

#include "common/platform.cuh"

extern "C" __global__ void __launch_bounds__(128)
next_patch(const int* results, int* earlier, int* byte_positions, int* past, int* forced, int* positions,
           int* previous, int batch, int patch, int last, int sees_previous) {
    int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (row >= batch || past[row] >= last) return;
    past[row]++;
    for (int i = 0; i < patch; i++) {
        int own = row * patch + i;
        int shared = i * batch + row;
        int id = results[2 * i * batch + row];
        earlier[own] = id;
        byte_positions[own] += patch;
        forced[shared] = -1;
        positions[shared] += patch;
        if (sees_previous) previous[row] = id;
    }
}
REGISTER_KERNEL(next_patch);
