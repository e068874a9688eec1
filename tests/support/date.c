/* For tests: a process whose date is as many seconds off as the file that VOICEBOX_TEST_DATE_OFF names says. The monotonic clock is not touched. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, time);
    const char *path = getenv("VOICEBOX_TEST_DATE_OFF");
    if (result == 0 && clock == CLOCK_REALTIME && path) {
        FILE *file = fopen(path, "r");
        long off = 0;
        if (file) {
            if (fscanf(file, "%ld", &off) == 1)
                time->tv_sec += off;
            fclose(file);
        }
    }
    return result;
}
