/* A library that answers like NVML of a machine that a text file describes, read at every nvmlInit:

       fail CODE                              nvmlInit answers this
       gpu UUID USED TOTAL NAME               a GPU
       lost                                   a GPU that does not answer any more
       mig UUID USED TOTAL NAME               a part of the GPU above it, which MIG has divided
       divided                                the GPU above is divided by MIG, perhaps into nothing
       process PID USED                       a process on the GPU above, or on its part; USED -1 is not told

   The variable NVML_MACHINE names the file. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };
enum { MOST = 16 };

typedef struct { unsigned pid; unsigned long long used; } Process;
typedef struct Device {
    char uuid[96], name[96];
    unsigned long long used, total;
    int lost, divided, parts, processes;
    struct Device *part[MOST];
    Process process[MOST];
} Device;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } ProcessInfo;
typedef struct { unsigned long long total, free, used; } Memory;

static Device machine[MOST], parts[MOST];
static int devices, users;

int nvmlInitWithFlags(unsigned flags) {
    const char *path = getenv("NVML_MACHINE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    int part_count = 0, code;
    Device *device = NULL;
    (void)flags;
    if (!file) return NOT_FOUND;
    memset(machine, 0, sizeof machine);
    memset(parts, 0, sizeof parts);
    devices = 0;
    while (fgets(line, sizeof line, file)) {
        Device read = {0};
        long long used;
        unsigned pid;
        if (sscanf(line, "fail %d", &code) == 1) { fclose(file); return code; }
        if (!strncmp(line, "lost", 4)) { device = &machine[devices++]; device->lost = 1; }
        if (!strncmp(line, "divided", 7)) device->divided = 1;
        if (sscanf(line, "gpu %95s %llu %llu %95[^\n]", read.uuid, &read.used, &read.total, read.name) == 4) {
            device = &machine[devices++];
            *device = read;
        }
        if (sscanf(line, "mig %95s %llu %llu %95[^\n]", read.uuid, &read.used, &read.total, read.name) == 4) {
            device->divided = 1;
            parts[part_count] = read;
            device->part[device->parts++] = &parts[part_count++];
        }
        if (sscanf(line, "process %u %lld", &pid, &used) == 2) {
            device->process[device->processes].pid = pid;
            device->process[device->processes++].used = (unsigned long long)used;
        }
    }
    fclose(file);
    users++;
    return SUCCESS;
}

int nvmlShutdown(void) {
    if (!users) return UNINITIALIZED;
    users--;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    return code == 9 ? "Driver Not Loaded" : "Some Error";
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    if (!users) return UNINITIALIZED;
    *count = devices;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **device) {
    if (!users) return UNINITIALIZED;
    if (machine[index].lost) return GPU_IS_LOST;
    *device = &machine[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(Device *device, char *text, unsigned length) {
    snprintf(text, length, "%s", device->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(Device *device, char *text, unsigned length) {
    snprintf(text, length, "%s", device->name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    memory->total = device->total;
    memory->used = device->used;
    memory->free = device->total - device->used;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device *device, unsigned *now, unsigned *then) {
    if (!device->divided) return NOT_SUPPORTED;
    *now = *then = 1;
    return SUCCESS;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *count) {
    (void)device;
    *count = 7;
    return SUCCESS;
}

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **part) {
    if ((int)index >= device->parts) return NOT_FOUND;
    *part = device->part[index];
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *count, ProcessInfo *infos) {
    unsigned room = *count;
    *count = device->processes;
    if (!device->processes) return SUCCESS;
    if (!infos || (int)room < device->processes) return INSUFFICIENT_SIZE;
    for (int i = 0; i < device->processes; i++) {
        infos[i].pid = device->process[i].pid;
        infos[i].used = device->process[i].used;
        infos[i].gpu_instance = infos[i].compute_instance = 0xffffffff;
    }
    return SUCCESS;
}
