/* Gives a program another wall clock: the right one, plus the seconds that the file of WALL_CLOCK_FILE holds as
 * a native 64-bit number. Timers and the clocks that count from the start of the machine stay as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;
static int (*right)(clockid_t, struct timespec *);

__attribute__((constructor)) static void open_file(void)
{
	right = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	const char *path = getenv("WALL_CLOCK_FILE");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	if (file < 0)
		return;
	void *place = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
	if (place != MAP_FAILED)
		offset = place;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!right)
		open_file();
	int outcome = right(clock, now);
	if (outcome == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return outcome;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec precise;
	(void)zone;
	int outcome = clock_gettime(CLOCK_REALTIME, &precise);
	now->tv_sec = precise.tv_sec;
	now->tv_usec = precise.tv_nsec / 1000;
	return outcome;
}

time_t time(time_t *place)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (place)
		*place = now.tv_sec;
	return now.tv_sec;
}
